// Frequency tables of the `rans` coder.
//
// Split (one per plane): a symbol is divided into a token, symbol >> shift, and `shift` low bits, which are stored as
// they are. A token in the window [offset, offset + 256) has the id token - offset; all other tokens have the id 256,
// the escape.
//
// Table: integer frequencies f[id] of the ids 0 to 256 whose sum is 4,096. A token whose id has f = 0 or that lies
// outside the window is coded as an escape, followed by its rank r among the n such tokens in ascending order in
// truncated binary: with w = floor(log2 n) and u = 2^(w+1) - n, a rank r < u takes w bits; otherwise w bits hold
// (r + u) / 2 and one more bit holds (r + u) % 2. Every table can therefore code every token.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "entropy/bits.h"
#include "tensor/symbols.h"

namespace occ {

constexpr unsigned kRansProbBits = 12;
constexpr uint32_t kRansOne = 1u << kRansProbBits;
constexpr uint32_t kRansWindow = 256;
constexpr uint32_t kRansEscape = kRansWindow;  // id of the escape
constexpr uint32_t kRansIds = kRansWindow + 1;
constexpr uint32_t kRansMaxEscape = kRansOne / 2;  // largest frequency of the escape

struct RansSplit {
  uint32_t alphabet = 1;
  unsigned shift = 0;
  uint32_t offset = 0;

  uint32_t tokens() const { return static_cast<uint32_t>((uint64_t{alphabet} + (1u << shift) - 1) >> shift); }
  uint32_t window() const { return std::min(kRansWindow, tokens() - offset); }
  uint32_t id(uint32_t token) const { return std::min(token - offset, kRansEscape); }
};

// Chooses the shift and the offset that take the fewest bits by estimate. histogram [alphabet] has how often each
// symbol occurs.
RansSplit choose_rans_split(std::span<const uint64_t> histogram, uint32_t alphabet);

class SideBits;

// How often each id occurs.
using RansCounts = std::array<uint64_t, kRansIds>;

class RansTable {
 public:
  // Returns the table that codes `counts` in the fewest bits, including those of the table. Without counts, all ids
  // have equal frequencies.
  static RansTable fit(const RansCounts& counts, const RansSplit& split);
  // Returns the table with these frequencies [257]. That of the escape is computed: 4,096 minus the sum of the others.
  // Input error that begins with `what`, unless the table can code every token.
  static RansTable of(std::array<uint16_t, kRansIds> frequency, const RansSplit& split, const std::string& what);
  // Reads what write() wrote. Input errors name bits.what().
  static RansTable read(SideBits& bits, const RansSplit& split);
  void write(BitWriter& out) const;

  uint32_t frequency(uint32_t id) const { return frequency_[id]; }
  // Writes the rank of an escaped token.
  void write_escape(uint32_t token, BitWriter& out) const;
  // Reads it. Returns false if bits are missing or are no valid rank.
  bool read_escape(BitReader& in, uint32_t& token) const;
  // Returns the bits of one id, without low bits. For an escaped id, this includes the mean number of bits of the rank.
  double cost(uint32_t id) const;

  bool operator==(const RansTable& o) const { return frequency_ == o.frequency_; }

 private:
  RansTable() = default;
  RansTable(const std::array<uint16_t, kRansIds>& frequency, const RansSplit& split);
  uint32_t escape_rank(uint32_t token) const;
  uint32_t escape_token(uint32_t rank) const;

  std::array<uint16_t, kRansIds> frequency_{};
  std::array<uint8_t, kRansWindow> escaped_ids_{};  // in ascending order
  uint32_t num_escaped_ids_ = 0;
  uint32_t num_escaped_ = 0;  // includes those outside the window
  uint32_t offset_ = 0;
  uint32_t window_ = 0;
  unsigned escape_width_ = 0;   // w in the description of the escape above
  uint32_t short_escapes_ = 0;  // u in that description
};

// Reads the bit string of all tables from the side information, byte by byte.
class SideBits {
 public:
  explicit SideBits(ByteReader& reader) : reader_(reader) {}
  uint32_t get(unsigned width);  // width <= 16
  const std::string& what() const { return reader_.what(); }

 private:
  ByteReader& reader_;
  uint32_t pending_ = 0;
  unsigned have_ = 0;
};

}  // namespace occ
