// The fit of one table. The frequencies of given tokens are found by rounding and then by moving single units where
// that saves the most bits. The bits are a separable convex function of the frequencies, so the result is optimal when
// no single move saves any. A few thresholds of the probability are tried to decide which tokens are escaped. The
// break-even is near 1 / 12,000: a frequency takes at least 1 / 4,096 of all slots, an escape a few raw bits.
//
// The stored form is one bit string per table. For the ids of the window in ascending order it has a 4-bit class c,
// then
//   0: f = 0   1 to 13: f = 2^(c-1) + (c-1 bits)   14: 2 + (4 bits) zeros   15: 18 + (8 bits) zeros
// The frequency of the escape is what is missing to 4,096.
#include "entropy/rans_table.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace occ {
namespace {

using Frequencies = std::array<uint16_t, kRansIds>;

const std::vector<double>& log2_table() {
  static const std::vector<double> table = [] {
    std::vector<double> t(kRansOne + 2);
    for (size_t i = 1; i < t.size(); ++i) t[i] = std::log2(static_cast<double>(i));
    return t;
  }();
  return table;
}

// `items` are the ids with a frequency of at least 1. The frequency of the escape stays at most kRansMaxEscape. There
// is at least one item besides the escape.
Frequencies quantize_frequencies(const RansCounts& counts, std::span<const uint16_t> items) {
  const std::vector<double>& lg = log2_table();
  double total = 0;
  for (const uint16_t id : items) total += static_cast<double>(counts[id]);
  const bool empty = total == 0;
  const auto weight = [&](uint16_t id) { return empty ? (id == kRansEscape ? 0.0 : 1.0) : double(counts[id]); };
  if (empty) total = static_cast<double>(items.size());
  const auto most = [](uint16_t id) { return id == kRansEscape ? kRansMaxEscape : kRansOne; };

  Frequencies f{};
  int64_t sum = 0;
  for (const uint16_t id : items) {
    const double exact = weight(id) * kRansOne / total;
    f[id] = static_cast<uint16_t>(std::clamp(std::floor(exact + 0.5), 1.0, double(most(id))));
    sum += f[id];
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto gain = [&](uint16_t id) {  // bits saved by one unit more
    return f[id] >= most(id) ? -kInfinity : weight(id) * (lg[f[id] + 1u] - lg[f[id]]);
  };
  const auto loss = [&](uint16_t id) {  // bits lost by one unit less
    return f[id] <= 1 ? kInfinity : weight(id) * (lg[f[id]] - lg[f[id] - 1u]);
  };
  const auto best_gain = [&] {
    return *std::max_element(items.begin(), items.end(), [&](auto a, auto b) { return gain(a) < gain(b); });
  };
  const auto least_loss = [&] {
    return *std::min_element(items.begin(), items.end(), [&](auto a, auto b) { return loss(a) < loss(b); });
  };
  for (; sum < kRansOne; ++sum) ++f[best_gain()];
  for (; sum > kRansOne; --sum) --f[least_loss()];
  for (int move = 0; move < 256; ++move) {
    const uint16_t to = best_gain(), from = least_loss();
    if (to == from || !(gain(to) > loss(from) * (1 + 1e-9))) break;
    ++f[to];
    --f[from];
  }
  return f;
}

}  // namespace

RansSplit choose_rans_split(std::span<const uint64_t> histogram, uint32_t alphabet) {
  RansSplit best{alphabet, 0, 0};
  if (alphabet <= kRansWindow) return best;
  const auto entropy_part = [](uint64_t count, double total) {
    return count == 0 ? 0.0 : static_cast<double>(count) * std::log2(total / static_cast<double>(count));
  };
  double best_bits = std::numeric_limits<double>::infinity();
  std::vector<uint64_t> counts(histogram.begin(), histogram.end());
  for (unsigned shift = 0;; ++shift) {
    RansSplit split{alphabet, shift, 0};
    const uint32_t tokens = split.tokens();
    uint64_t inside = 0, total = 0;
    for (uint32_t t = 0; t < std::min(tokens, kRansWindow); ++t) inside += counts[t];
    for (uint32_t t = 0; t < tokens; ++t) total += counts[t];
    uint64_t most = inside;
    for (uint32_t t = kRansWindow; t < tokens; ++t) {
      inside += counts[t] - counts[t - kRansWindow];
      if (inside > most) {
        most = inside;
        split.offset = t + 1 - kRansWindow;
      }
    }
    const double all = static_cast<double>(total);
    const uint64_t outside = total - most;
    double bits = all * shift + entropy_part(outside, all) + static_cast<double>(outside) * symbol_width(tokens);
    for (uint32_t i = 0; i < split.window(); ++i) {
      const uint64_t c = counts[split.offset + i];
      bits += entropy_part(c, all) + (c != 0 ? 8 : 0);
    }
    if (bits < best_bits) {
      best_bits = bits;
      best = split;
    }
    if (tokens <= kRansWindow) return best;
    for (uint32_t t = 0; t < tokens; t += 2) counts[t / 2] = counts[t] + (t + 1 < tokens ? counts[t + 1] : 0);
  }
}

RansTable::RansTable(const Frequencies& frequency, const RansSplit& split)
    : frequency_(frequency), offset_(split.offset), window_(split.window()) {
  for (uint32_t id = 0; id < window_; ++id) {
    if (frequency_[id] == 0) escaped_ids_[num_escaped_ids_++] = static_cast<uint8_t>(id);
  }
  num_escaped_ = split.tokens() - window_ + num_escaped_ids_;
  if (num_escaped_ != 0) {
    escape_width_ = static_cast<unsigned>(std::bit_width(num_escaped_)) - 1;
    short_escapes_ = (2u << escape_width_) - num_escaped_;
  }
}

RansTable RansTable::fit(const RansCounts& counts, const RansSplit& split) {
  const uint32_t window = split.window();
  uint64_t total = counts[kRansEscape], most = 0;
  uint16_t most_id = 0;
  for (uint16_t id = 0; id < window; ++id) {
    total += counts[id];
    if (counts[id] > most) most = counts[id], most_id = id;
  }
  RansTable best;
  double best_bits = std::numeric_limits<double>::infinity();
  std::vector<uint16_t> items, tried;
  // Tokens rarer than 1 / threshold are escaped. 0: no token of the window is escaped.
  for (const uint64_t threshold :
       {0, 1024, 1536, 2048, 2560, 3072, 4096, 6000, 8192, 10000, 12000, 16384, 24576, 1 << 20}) {
    if (threshold != 0 && total == 0) break;
    items.clear();
    RansCounts merged = counts;
    for (uint16_t id = 0; id < window; ++id) {
      const bool rare = counts[id] == 0 || counts[id] * threshold < total;
      if (threshold == 0 || !rare || (id == most_id && most != 0)) {
        items.push_back(id);
      } else {
        merged[kRansEscape] += counts[id];
      }
    }
    if (items.empty()) items.push_back(0);  // all symbols are outside the window
    if (items.size() < split.tokens()) items.push_back(kRansEscape);
    if (items == tried) continue;
    tried = items;
    const RansTable table(quantize_frequencies(merged, items), split);
    BitWriter written;
    table.write(written);
    double bits = static_cast<double>(written.bits());
    for (uint32_t id = 0; id < kRansIds; ++id) {
      if (counts[id] != 0) bits += static_cast<double>(counts[id]) * table.cost(id);
    }
    if (bits < best_bits) {
      best_bits = bits;
      best = table;
    }
  }
  return best;
}

double RansTable::cost(uint32_t id) const {
  const std::vector<double>& lg = log2_table();
  const bool direct = frequency_[id] != 0 && id != kRansEscape;
  const double raw = escape_width_ + 1.0 - static_cast<double>(short_escapes_) / std::max(num_escaped_, 1u);
  return kRansProbBits - lg[frequency_[direct ? id : kRansEscape]] + (direct ? 0 : raw);
}

uint32_t RansTable::escape_rank(uint32_t token) const {
  if (token < offset_) return token;
  const uint32_t id = token - offset_;
  if (id >= window_) return token - (window_ - num_escaped_ids_);
  const auto end = escaped_ids_.begin() + num_escaped_ids_;
  return offset_ + static_cast<uint32_t>(std::lower_bound(escaped_ids_.begin(), end, id) - escaped_ids_.begin());
}

uint32_t RansTable::escape_token(uint32_t rank) const {
  if (rank < offset_) return rank;
  if (rank - offset_ < num_escaped_ids_) return offset_ + escaped_ids_[rank - offset_];
  return rank + (window_ - num_escaped_ids_);
}

void RansTable::write_escape(uint32_t token, BitWriter& out) const {
  const uint32_t rank = escape_rank(token);
  if (rank < short_escapes_) return out.put(rank, escape_width_);
  out.put((rank + short_escapes_) / 2, escape_width_);
  out.put((rank + short_escapes_) % 2, 1);
}

bool RansTable::read_escape(BitReader& in, uint32_t& token) const {
  uint32_t rank = 0, last = 0;
  if (!in.get(escape_width_, rank)) return false;
  if (rank >= short_escapes_) {
    if (!in.get(1, last)) return false;
    rank = 2 * rank + last - short_escapes_;
  }
  if (rank >= num_escaped_) return false;
  token = escape_token(rank);
  return true;
}

void RansTable::write(BitWriter& out) const {
  for (uint32_t id = 0; id < window_;) {
    if (frequency_[id] != 0) {
      const unsigned width = static_cast<unsigned>(std::bit_width(frequency_[id]));
      out.put(width, 4);
      out.put(frequency_[id] - (1u << (width - 1)), width - 1);
      ++id;
      continue;
    }
    uint32_t zeros = 1;
    while (id + zeros < window_ && frequency_[id + zeros] == 0) ++zeros;
    id += zeros;
    if (zeros >= 18) {
      out.put(15, 4);
      out.put(zeros - 18, 8);
    } else if (zeros >= 2) {
      out.put(14, 4);
      out.put(zeros - 2, 4);
    } else {
      out.put(0, 4);
    }
  }
}

RansTable RansTable::read(SideBits& bits, const RansSplit& split) {
  Frequencies f{};
  const uint32_t window = split.window();
  uint32_t sum = 0;
  for (uint32_t id = 0; id < window;) {
    const uint32_t c = bits.get(4);
    if (c == 0 || c >= 14) {
      const uint32_t zeros = c == 0 ? 1 : c == 14 ? 2 + bits.get(4) : 18 + bits.get(8);
      if (zeros > window - id) {
        throw_input("{}: frequency table: expected at most {} zeros, found {}", bits.what(), window - id, zeros);
      }
      id += zeros;
      continue;
    }
    const uint32_t value = (1u << (c - 1)) + bits.get(c - 1);
    sum += value;
    if (sum > kRansOne) throw_input("{}: frequency table: expected a sum of {}, found more", bits.what(), kRansOne);
    f[id++] = static_cast<uint16_t>(value);
  }
  return of(f, split, bits.what());
}

RansTable RansTable::of(Frequencies frequency, const RansSplit& split, const std::string& what) {
  uint32_t sum = 0;
  for (uint32_t id = 0; id < split.window(); ++id) sum += frequency[id];
  if (sum > kRansOne) throw_input("{}: frequency table: expected a sum of {}, found more", what, kRansOne);
  const uint32_t escape = kRansOne - sum;
  frequency[kRansEscape] = static_cast<uint16_t>(std::min(escape, kRansMaxEscape));
  const RansTable table(frequency, split);
  const bool expected = table.num_escaped_ != 0;
  if ((escape != 0) != expected || escape > kRansMaxEscape) {
    throw_input("{}: frequency table: expected {} for the escape, found {}", what, expected ? "1 to 2048" : "0",
                escape);
  }
  return table;
}

uint32_t SideBits::get(unsigned width) {
  for (; have_ < width; have_ += 8) pending_ |= uint32_t{reader_.get<uint8_t>()} << have_;
  const uint32_t value = pending_ & ((1u << width) - 1);
  pending_ >>= width;
  have_ -= width;
  return value;
}

}  // namespace occ
