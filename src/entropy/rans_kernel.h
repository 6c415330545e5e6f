// The loops of the `rans` coder. State x in [2^16, 2^32); with frequency f and first slot s of an id:
//   encode: while x >= f * 2^20 put the low 16 bits and x >>= 16 (at most once); x = (x / f) * 4096 + x % f + s
//   decode: slot = x mod 4096 gives the id; x = f * (x >> 12) + slot - s; if x < 2^16 take a word: x = x * 2^16 + word
// 16 states are interleaved; column c of a run belongs to lane c mod 16. A step is up to 16 symbols of one run; words
// are taken in lane order within a step, so vectors of any width read the same stream. (Duda 2013, arXiv 1311.2540;
// Giesen 2014, arXiv 1402.3392.) The encoder runs backwards and writes its words backwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "entropy/bits.h"
#include "entropy/rans_table.h"
#include "tensor/symbols.h"

namespace occ {

constexpr size_t kRansLanes = 16;
constexpr uint32_t kRansStart = 1u << 16;  // all states before encoding = after decoding

// Decode table: 4096 entries, id 0..255 | (f - 1) << 8 | (slot - s) << 20. Since slot - s < f, bit 31 without bit 19
// cannot occur for f <= 2048; it marks the escape.
void fill_decode_entries(const RansTable& table, uint32_t* entries);

// Division by f as a product: x / f = (x * reciprocal) >> 44, exact for x < f * 2^20.
struct RansEncodeEntry {
  uint64_t reciprocal;
  uint32_t limit;       // put a word if x > limit
  uint16_t start;       // s
  uint16_t complement;  // 4096 - f
};
// 257 entries; ids without a frequency get the escape's.
void fill_encode_entries(const RansTable& table, RansEncodeEntry* entries);

struct RansDecodeState {
  alignas(64) uint32_t x[kRansLanes];  // at least kRansStart
  const uint8_t* at;                   // next word
  const uint8_t* limit;                // a step may start while at <= limit
  const uint8_t* end;
  bool in_tail = false;
  alignas(16) uint8_t tail[96];  // the last words, then zeros, so that vectors may read past the end
  BitReader raw;                 // escapes

  // Tables of all cells, and what is common to the plane.
  const uint32_t* entries = nullptr;    // [cells][4096]
  const RansTable* tables = nullptr;    // [cells]
  uint32_t offset = 0;                  // of the window
  unsigned shift = 0;                   // raw low bits, for the finite-state machine
  const uint32_t* next = nullptr;       // [states << class_bits]: next state | its context << 16
  const uint8_t* small_next = nullptr;  // [16]: the same as next state | its context << 4; null if it does not fit
  unsigned class_bits = 0;

  void set_words(const uint8_t* words, size_t bytes);
  // Called when at > limit. False: all words have been taken and more are asked for.
  bool enter_tail();
  bool all_used() const;
};

struct RansRun {
  size_t count = 0;
  Symbol* out = nullptr;  // tokens; whole symbols if `states` is given
  // The cell of a symbol is the sum of these three:
  uint32_t cell = 0;
  const uint32_t* line_cells = nullptr;  // [count], or null: all 0. Never null with `states`
  uint32_t* states = nullptr;            // [count]: state | context << 16
  const Symbol* low = nullptr;           // [count]: raw low bits, with `states` and shift > 0
};

// False: the words or the escape bits ran out, or an escape is out of range. Whatever the bytes, ids are those of
// tables.
bool rans_decode_run(RansDecodeState& state, const RansRun& run);

// Encodes ids (indices into `entries`) backwards, last first; words are written downwards from `out`. Returns the new
// `out`.
uint8_t* rans_encode_run(uint32_t* x, const RansEncodeEntry* entries, const uint32_t* ids, size_t count, uint8_t* out);

}  // namespace occ
