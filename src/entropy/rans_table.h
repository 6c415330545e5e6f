// Frequency tables of the `rans` coder: 12-bit integer frequencies, an escape for rare tokens, and a split of the
// symbol into a token and raw low bits.
//
// Split (one per plane): token = symbol >> shift, the low `shift` bits are stored raw. Tokens in the window
// [offset, offset + 256) have an id = token - offset; every other token has the id 256, "escape".
// Table: frequencies f[id] of the ids 0..255 with sum + f[256] = 4096. A token with f = 0 (or outside the window) is
// coded as an escape and its rank r among the n such tokens in ascending order, in truncated binary: with
// w = floor(log2 n) and u = 2^(w+1) - n, r < u takes w bits, and otherwise w bits hold (r + u) / 2 and one more
// (r + u) % 2. So every token can be coded with every table.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "entropy/bits.h"
#include "tensor/symbols.h"

namespace occ {

constexpr unsigned kRansProbBits = 12;
constexpr uint32_t kRansOne = 1u << kRansProbBits;
constexpr uint32_t kRansWindow = 256;
constexpr uint32_t kRansEscape = kRansWindow;  // the id
constexpr uint32_t kRansIds = kRansWindow + 1;
constexpr uint32_t kRansMaxEscape = kRansOne / 2;  // greatest frequency of the escape

struct RansSplit {
  uint32_t alphabet = 1;
  unsigned shift = 0;
  uint32_t offset = 0;

  uint32_t tokens() const { return static_cast<uint32_t>((uint64_t{alphabet} + (1u << shift) - 1) >> shift); }
  uint32_t window() const { return std::min(kRansWindow, tokens() - offset); }
  uint32_t id(uint32_t token) const { return std::min(token - offset, kRansEscape); }
};

// Chooses shift and offset by estimated bits. histogram: counts of all symbols [alphabet].
RansSplit choose_rans_split(std::span<const uint64_t> histogram, uint32_t alphabet);

class SideBits;

// Counts of ids.
using RansCounts = std::array<uint64_t, kRansIds>;

class RansTable {
 public:
  // The table that codes `counts` in the fewest bits, itself included. No counts: all ids alike.
  static RansTable fit(const RansCounts& counts, const RansSplit& split);
  // Input errors name reader.what().
  static RansTable read(SideBits& bits, const RansSplit& split);
  void write(BitWriter& out) const;

  uint32_t frequency(uint32_t id) const { return frequency_[id]; }
  // The raw bits of a token that is escaped.
  void write_escape(uint32_t token, BitWriter& out) const;
  // False if the bits run out or hold no rank.
  bool read_escape(BitReader& in, uint32_t& token) const;
  // Bits of one id, the raw bits of its escape included (their mean), low bits not.
  double cost(uint32_t id) const;

  bool operator==(const RansTable& o) const { return frequency_ == o.frequency_; }

 private:
  RansTable() = default;
  RansTable(const std::array<uint16_t, kRansIds>& frequency, const RansSplit& split);
  uint32_t escape_rank(uint32_t token) const;
  uint32_t escape_token(uint32_t rank) const;

  std::array<uint16_t, kRansIds> frequency_{};
  std::array<uint8_t, kRansWindow> escaped_ids_{};  // ascending
  uint32_t num_escaped_ids_ = 0;
  uint32_t num_escaped_ = 0;  // with those outside the window
  uint32_t offset_ = 0;
  uint32_t window_ = 0;
  unsigned escape_width_ = 0;   // w
  uint32_t short_escapes_ = 0;  // u
};

// The bit string of all tables in the side information, read byte by byte.
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
