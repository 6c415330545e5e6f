// If the values before quantization have the scale 2^(line + position) and are quantized with one step, the statistics
// of a symbol depend on this sum only. Lines and positions are divided into atoms of a quarter of an octave, and the
// symbols of all pairs of atoms are counted, so that every choice of ids can be judged without another pass over the
// symbols. The candidates have ids of 1, 1/2 or 1/4 octave, of lines, of positions or of both. Each is then refined by
// code length: an atom moves to the id with which it takes the fewest bits, because the deviation of coarse symbols is
// no good measure of the scale. Classes of w octaves cost about (w ln 2)^2 / 6 nats in all (for a Gaussian, a wrong
// scale costs (ln ratio)^2 nats): 0.5 % of a bit at w = 1/4.
#include "entropy/rans_classes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/symbols.h"

namespace occ {
namespace {

constexpr size_t kMaxAtoms = 24;
constexpr size_t kMaxPairCounts = size_t{1} << 22;

using AtomIds = std::vector<int>;  // the id of each atom

size_t cut(std::span<const float> scales, float width, size_t most, std::vector<uint8_t>& atoms) {
  if (scales.empty()) return 1;
  std::vector<float> sorted(scales.begin(), scales.end());
  const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const auto half = static_cast<float>(most / 2);
  std::vector<int> numbers;
  for (const float s : scales) {
    numbers.push_back(static_cast<int>(std::clamp(std::floor((s - *middle) / width + 0.5F), -half, half - 1)));
  }
  const auto [least, greatest] = std::minmax_element(numbers.begin(), numbers.end());
  for (const int n : numbers) atoms.push_back(static_cast<uint8_t>(n - *least));
  return static_cast<size_t>(*greatest - *least) + 1;
}

size_t count_ids(const AtomIds& ids) { return static_cast<size_t>(*std::max_element(ids.begin(), ids.end())) + 1; }

class Classes {
 public:
  Classes(const RansAtoms& atoms, std::span<const uint64_t> pairs, size_t cell, size_t bins)
      : atoms_(atoms), pairs_(pairs), cell_(cell), bins_(bins) {
    for (size_t a = 0; a < atoms.num_lines; ++a) line_share_.push_back(share(atoms.lines, a));
    for (size_t a = 0; a < atoms.num_positions; ++a) position_share_.push_back(share(atoms.positions, a));
  }

  // Makes ids of `step` atoms each (0: a single id). If there are more than `max_tables` tables, the rarer of the two
  // classes at the ends is joined with its neighbour, again and again.
  RansChoice make(size_t line_step, size_t position_step, size_t max_tables) const {
    AtomIds lines = group(atoms_.num_lines, line_step), positions = group(atoms_.num_positions, position_step);
    while (count_ids(lines) + count_ids(positions) - 1 > max_tables) {
      const std::array<double, 4> ends = {end_share(lines, line_share_, false), end_share(lines, line_share_, true),
                                          end_share(positions, position_share_, false),
                                          end_share(positions, position_share_, true)};
      const auto rarest = std::min_element(ends.begin(), ends.end()) - ends.begin();
      join_end(rarest < 2 ? lines : positions, rarest % 2 == 1);
    }
    RansChoice best = choice(lines, positions);
    constexpr int kRounds = 3;
    for (int round = 0; round < kRounds; ++round) {
      refine(lines, positions, true);
      refine(lines, positions, false);
      RansChoice refined = choice(lines, positions);
      if (!(refined.bits < best.bits)) break;
      best = std::move(refined);
    }
    return best;
  }

 private:
  static double share(const std::vector<uint8_t>& atoms, size_t a) {
    if (atoms.empty()) return 1;
    return static_cast<double>(std::count(atoms.begin(), atoms.end(), a)) / static_cast<double>(atoms.size());
  }
  static AtomIds group(size_t atoms, size_t step) {
    AtomIds ids(atoms);
    for (size_t a = 0; a < atoms; ++a) ids[a] = step == 0 ? 0 : static_cast<int>(a / step);
    return ids;
  }
  // Share of the first or last id; infinite if there is only one id.
  static double end_share(const AtomIds& ids, const std::vector<double>& shares, bool last) {
    const size_t count = count_ids(ids);
    if (count == 1) return INFINITY;
    double sum = 0;
    for (size_t a = 0; a < ids.size(); ++a) {
      if (ids[a] == (last ? static_cast<int>(count) - 1 : 0)) sum += shares[a];
    }
    return sum;
  }
  static void join_end(AtomIds& ids, bool last) {
    const int greatest = static_cast<int>(count_ids(ids)) - 1;
    for (int& id : ids) id = last ? std::min(id, greatest - 1) : std::max(id - 1, 0);
  }

  std::vector<uint64_t> count(const AtomIds& lines, const AtomIds& positions) const {
    std::vector<uint64_t> counts((count_ids(lines) + count_ids(positions) - 1) * cell_);
    const uint64_t* from = pairs_.data();
    for (const int line : lines) {
      for (const int position : positions) {
        uint64_t* to = &counts[static_cast<size_t>(line + position) * cell_];
        for (size_t k = 0; k < cell_; ++k) to[k] += from[k];
        from += cell_;
      }
    }
    return counts;
  }

  RansChoice choice(const AtomIds& lines, const AtomIds& positions) const {
    RansChoice c;
    const auto assign = [](const AtomIds& ids, const std::vector<uint8_t>& atoms, std::vector<uint8_t>& out) {
      const size_t num = count_ids(ids);
      if (num == 1) return num;
      for (const uint8_t atom : atoms) out.push_back(static_cast<uint8_t>(ids[atom]));
      return num;
    };
    c.num_ids = assign(lines, atoms_.lines, c.line_ids);
    c.num_cross = assign(positions, atoms_.positions, c.cross_ids);
    c.counts = count(lines, positions);
    c.bits = approximate_bits(c, cell_, bins_);
    return c;
  }

  // Gives every atom of one side that of the existing ids with which it takes the fewest bits.
  void refine(AtomIds& lines, AtomIds& positions, bool of_lines) const {
    AtomIds& ids = of_lines ? lines : positions;
    const AtomIds& others = of_lines ? positions : lines;
    const size_t num = count_ids(ids);
    if (num == 1) return;
    const std::vector<uint64_t> counts = count(lines, positions);
    const std::vector<float> costs = smoothed_costs(counts, cell_, bins_);
    const size_t tables = counts.size() / cell_;
    AtomIds closest = ids;
    for (size_t a = 0; a < ids.size(); ++a) {
      std::array<double, kMaxAtoms> bits{};
      for (size_t b = 0; b < others.size(); ++b) {
        const size_t pair = of_lines ? a * others.size() + b : b * ids.size() + a;
        for (size_t k = 0; k < cell_; ++k) {
          const auto n = static_cast<double>(pairs_[pair * cell_ + k]);
          if (n == 0) continue;
          const float* of_bin = &costs[k * tables + static_cast<size_t>(others[b])];
          for (size_t id = 0; id < num; ++id) bits[id] += n * of_bin[id];
        }
      }
      closest[a] =
          static_cast<int>(std::min_element(bits.begin(), bits.begin() + static_cast<ptrdiff_t>(num)) - bits.begin());
    }
    const int least = *std::min_element(closest.begin(), closest.end());
    for (int& id : closest) id -= least;
    ids = std::move(closest);
  }

  const RansAtoms& atoms_;
  std::span<const uint64_t> pairs_;
  size_t cell_, bins_;
  std::vector<double> line_share_, position_share_;
};

}  // namespace

RansAtoms make_rans_atoms(std::span<const float> lines, std::span<const float> positions, size_t cell) {
  RansAtoms atoms;
  const auto affordable =
      static_cast<size_t>(std::sqrt(static_cast<double>(kMaxPairCounts) / static_cast<double>(cell)));
  const size_t most = std::min(kMaxAtoms, affordable / 2 * 2);
  if (most < 4) {
    atoms.lines.assign(lines.size(), 0);
    atoms.positions.assign(positions.size(), 0);
    return atoms;
  }
  const float width = 0.25F * static_cast<float>(kMaxAtoms) / static_cast<float>(most);
  atoms.num_lines = cut(lines, width, most, atoms.lines);
  atoms.num_positions = cut(positions, width, most, atoms.positions);
  return atoms;
}

namespace {

// Returns the bits of ids in an adaptive code: their entropy, plus half a logarithm of their number for each id.
double id_bits(const std::vector<uint8_t>& ids, size_t num_ids) {
  std::vector<double> counts(num_ids);
  for (const uint8_t id : ids) ++counts[id];
  const double total = static_cast<double>(ids.size());
  double bits = 0;
  for (const double n : counts) bits += n > 0 ? n * std::log2(total / n) + 0.5 * std::log2(total) : 0;
  return bits;
}

}  // namespace

double approximate_bits(const RansChoice& choice, size_t cell, size_t bins) {
  double bits = id_bits(choice.line_ids, choice.num_ids) + id_bits(choice.cross_ids, choice.num_cross);
  for (size_t at = 0; at < choice.num_ids + choice.num_cross - 1; ++at) {
    for (size_t first = at * cell; first < (at + 1) * cell; first += bins) {
      const uint64_t* counts = &choice.counts[first];
      double total = 0;
      for (size_t k = 0; k < bins; ++k) total += static_cast<double>(counts[k]);
      bits += 1;
      for (size_t k = 0; k < bins; ++k) {
        if (counts[k] == 0) continue;
        const double length = std::log2(total / static_cast<double>(counts[k]));
        // A frequency takes 4 bits plus its own length. Tokens rarer than 1 / 4096 are escaped.
        bits += static_cast<double>(counts[k]) * length + (length < 13 ? 16 - length : 3);
      }
    }
  }
  return bits;
}

std::vector<float> smoothed_costs(std::span<const uint64_t> counts, size_t cell, size_t bins) {
  const size_t tables = counts.size() / cell;
  std::vector<float> costs(counts.size());
  for (size_t t = 0; t < tables; ++t) {
    for (size_t first = 0; first < cell; first += bins) {
      const uint64_t* own = &counts[t * cell + first];
      double total = 0;
      for (size_t k = 0; k < bins; ++k) total += static_cast<double>(own[k]) + 0.1;
      for (size_t k = 0; k < bins; ++k) {
        costs[(first + k) * tables + t] = static_cast<float>(std::log2(total / (static_cast<double>(own[k]) + 0.1)));
      }
    }
  }
  return costs;
}

RansChoice choose_classes(const RansAtoms& atoms, std::span<const uint64_t> pairs, size_t cell, size_t bins,
                          size_t max_tables) {
  const Classes classes(atoms, pairs, cell, bins);
  RansChoice best = classes.make(0, 0, max_tables);
  for (const size_t step : {1, 2, 4}) {
    for (const auto& [lines, positions] : {std::pair{step, size_t{0}}, {size_t{0}, step}, {step, step}}) {
      RansChoice choice = classes.make(lines, positions, max_tables);
      if (choice.bits < best.bits) best = std::move(choice);
    }
  }
  return best;
}

}  // namespace occ
