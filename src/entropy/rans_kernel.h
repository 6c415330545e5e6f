// The loops of the `rans` coder (asymmetric numeral systems: Duda 2013, arXiv 1311.2540; interleaving: Giesen 2014,
// arXiv 1402.3392). The state x lies in [2^16, 2^32). For an id with frequency f and first slot s:
//   encode: if x >= f * 2^20, write the low 16 bits of x as a word and shift x right by 16;
//           then x = (x / f) * 4096 + x % f + s
//   decode: slot = x mod 4096 gives the id; x = f * (x >> 12) + slot - s;
//           then, if x < 2^16, read a word: x = x * 2^16 + word
// 16 states are interleaved, and symbol c of a run belongs to state (lane) c mod 16. A step codes up to 16 symbols of
// one run. Within a step words are read in the order of lanes, so that vectors of any width read the same stream. The
// encoder goes through the symbols backwards and writes its words backwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy/bits.h"
#include "entropy/rans_table.h"
#include "tensor/symbols.h"

namespace occ {

constexpr size_t kRansLanes = 16;
constexpr uint32_t kRansStart = 1u << 16;  // every state before encoding, and therefore also after decoding

// Fills the 4,096 entries of a decoding table with id | (f - 1) << 8 | (slot - s) << 20 for ids 0 to 255. Since
// slot - s < f, bit 31 without bit 19 cannot occur for f <= 2,048; this combination marks the escape.
void fill_decode_entries(const RansTable& table, uint32_t* entries);

// Division by f as a multiplication: x / f = (x * reciprocal) >> 44, exact for x < f * 2^20.
struct RansEncodeEntry {
  uint64_t reciprocal;
  uint32_t limit;       // a word is written if x > limit
  uint16_t start;       // first slot s
  uint16_t complement;  // 4096 - f
};
// Fills the 257 entries of an encoding table. Ids without a frequency get the entry of the escape.
void fill_encode_entries(const RansTable& table, RansEncodeEntry* entries);

struct RansDecodeState {
  alignas(64) uint32_t x[kRansLanes];  // states, at least kRansStart
  const uint8_t* at;                   // next word
  const uint8_t* limit;                // a step may begin as long as at <= limit
  const uint8_t* end;
  bool in_tail = false;
  alignas(16) uint8_t tail[96];  // the last words followed by zeros, so that vectors may read past the end
  BitReader raw;                 // ranks of escaped tokens

  // The tables of all cells, and what all tiles of the plane have in common.
  const uint32_t* entries = nullptr;    // [cells][4096]
  const RansTable* tables = nullptr;    // [cells]
  uint32_t offset = 0;                  // offset of the window
  unsigned shift = 0;                   // number of raw low bits; only used with a state machine
  const uint32_t* next = nullptr;       // [states << class_bits]: next state | its context << 16
  const uint8_t* small_next = nullptr;  // [16] the same as next state | its context << 4; null if it does not fit
  unsigned class_bits = 0;

  void set_words(const uint8_t* words, size_t bytes);
  // Called when at > limit. Returns false if all words have been read and more are needed.
  bool enter_tail();
  // Whether all words have been read.
  bool all_used() const;
};

struct RansRun {
  size_t count = 0;
  Symbol* out = nullptr;  // receives tokens, or whole symbols if `states` is given
  // The cell of a symbol is the sum of `cell`, its entry of line_cells and its context.
  uint32_t cell = 0;
  const uint32_t* line_cells = nullptr;  // [count], or null if all are 0; never null if `states` is given
  uint32_t* states = nullptr;            // [count] state | context << 16, or null without a state machine
  const Symbol* low = nullptr;           // [count] raw low bits; only if `states` is given and shift > 0
};

// Decodes a run. Returns false if words or escape bits are missing, or if an escape is out of range. For all bytes,
// even hostile ones, the ids are those of the tables.
bool rans_decode_run(RansDecodeState& state, const RansRun& run);

// Encodes ids, which are indices into `entries`, from the last to the first. Words are written downwards from `out`.
// Returns the new `out`.
uint8_t* rans_encode_run(uint32_t* x, const RansEncodeEntry* entries, const uint32_t* ids, size_t count, uint8_t* out);

}  // namespace occ
