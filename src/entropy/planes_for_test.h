// Symbol planes with known statistics, for tests and benchmarks of coders.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "occ/matrix.h"
#include "tensor/symbols.h"

namespace occ {

inline SymbolPlane make_plane(size_t rows, size_t cols, uint32_t alphabet, LineAxis lines = LineAxis::kRows) {
  return {.name = "codes", .rows = rows, .cols = cols, .alphabet = alphabet, .lines = lines};
}

// Draws numbers with given weights, by inversion of the cumulative sum.
class Sampler {
 public:
  explicit Sampler(const std::vector<double>& weights) {
    double sum = 0;
    for (const double w : weights) cumulative_.push_back(sum += w);
  }
  Symbol draw(Rng& rng) const {
    const double u = rng.uniform() * cumulative_.back();
    const auto at = std::upper_bound(cumulative_.begin(), cumulative_.end(), u) - cumulative_.begin();
    return static_cast<Symbol>(std::min<size_t>(static_cast<size_t>(at), cumulative_.size() - 1));
  }

 private:
  std::vector<double> cumulative_;
};

inline std::vector<double> uniform_weights(uint32_t n) { return std::vector<double>(n, 1.0); }
// Weights of the cells of a uniform quantizer of N(0, 1) over [-reach, reach].
inline std::vector<double> gaussian_weights(uint32_t n, double reach) {
  std::vector<double> w(n);
  for (uint32_t i = 0; i < n; ++i) {
    const double x = reach * (2.0 * (i + 0.5) / n - 1);
    w[i] = std::exp(-x * x / 2);
  }
  return w;
}
inline std::vector<double> geometric_weights(uint32_t n, double ratio) {
  std::vector<double> w(n);
  for (uint32_t i = 0; i < n; ++i) w[i] = std::pow(ratio, i);
  return w;
}
// One symbol (in the middle) has probability p, and the others share the rest.
inline std::vector<double> skewed_weights(uint32_t n, double p) {
  std::vector<double> w(n, n > 1 ? (1 - p) / (n - 1) : 0.0);
  w[n / 2] = n > 1 ? p : 1.0;
  return w;
}

inline Matrix<Symbol> draw_symbols(size_t rows, size_t cols, const std::vector<double>& weights, uint64_t seed) {
  Matrix<Symbol> out(rows, cols);
  const Sampler sampler(weights);
  Rng rng(seed);
  for (size_t i = 0; i < out.size(); ++i) out.data()[i] = sampler.draw(rng);
  return out;
}

// Returns the entropy in bits of symbols with these counts.
inline double empirical_entropy(const std::vector<uint64_t>& counts) {
  double total = 0, bits = 0;
  for (const uint64_t c : counts) total += static_cast<double>(c);
  for (const uint64_t c : counts) {
    if (c != 0) bits += static_cast<double>(c) * std::log2(total / static_cast<double>(c));
  }
  return bits;
}
inline double empirical_entropy(MatrixView<const Symbol> symbols, uint32_t alphabet) {
  std::vector<uint64_t> counts(alphabet);
  for (size_t r = 0; r < symbols.rows(); ++r) {
    for (size_t c = 0; c < symbols.cols(); ++c) ++counts[symbols(r, c)];
  }
  return empirical_entropy(counts);
}

// The code of Ungerboeck with 8 states and the parity polynomials (13, 4) in octal. The low bit of the state is the
// context, and the low bit of the symbol selects the branch.
inline std::shared_ptr<const FiniteState> trellis_machine() {
  constexpr unsigned kH0 = 013, kH1 = 04;
  auto m = std::make_shared<FiniteState>();
  m->num_states = 8;
  m->num_contexts = 2;
  m->classes = 2;
  for (unsigned s = 0; s < 8; ++s) {
    const unsigned u = s & 1;
    m->context.push_back(static_cast<uint16_t>(u));
    for (unsigned b = 0; b < 2; ++b) {
      unsigned next = 0;
      for (unsigned i = 0; i < 3; ++i) {
        const unsigned bit = ((s >> (i + 1)) & 1) ^ ((kH0 >> (i + 1)) & u) ^ ((kH1 >> (i + 1)) & b);
        next |= (bit & 1) << i;
      }
      m->next.push_back(static_cast<uint16_t>(next));
    }
  }
  return m;
}

// A larger machine: the context depends on the class of the last symbol and on parity.
inline std::shared_ptr<const FiniteState> wide_machine() {
  auto m = std::make_shared<FiniteState>();
  m->num_states = 21;
  m->num_contexts = 5;
  m->classes = 16;
  for (unsigned s = 0; s < m->num_states; ++s) {
    m->context.push_back(static_cast<uint16_t>(s * 7 % 5));
    for (unsigned c = 0; c < m->classes; ++c) m->next.push_back(static_cast<uint16_t>((s * 5 + c * 3 + 1) % 21));
  }
  return m;
}

// Calls visit(line, context, symbol) for all symbols of a tile that begins at row `first`. Machines start in state 0.
template <typename Visit>
void for_each_in_context(const SymbolPlane& plane, size_t first, MatrixView<const Symbol> symbols, const Visit& visit) {
  const bool by_rows = plane.lines == LineAxis::kRows;
  const FiniteState* m = plane.contexts.get();
  const size_t lines = by_rows ? symbols.rows() : symbols.cols(), length = by_rows ? symbols.cols() : symbols.rows();
  for (size_t line = 0; line < lines; ++line) {
    uint32_t state = 0;
    for (size_t i = 0; i < length; ++i) {
      const Symbol s = by_rows ? symbols(line, i) : symbols(i, line);
      visit(by_rows ? first + line : line, m != nullptr ? m->context[state] : 0u, s);
      if (m != nullptr) state = m->next[state * m->classes + (s & (m->classes - 1))];
    }
  }
}

// Draws symbols; those in context k have the weights weights[k % weights.size()].
inline Matrix<Symbol> draw_in_context(const SymbolPlane& plane, const std::vector<std::vector<double>>& weights,
                                      uint64_t seed) {
  Matrix<Symbol> out(plane.rows, plane.cols);
  std::vector<Sampler> samplers;
  for (const auto& w : weights) samplers.emplace_back(w);
  const bool by_rows = plane.lines == LineAxis::kRows;
  const FiniteState& m = *plane.contexts;
  const size_t tile = by_rows ? plane.cols : tile_rows(plane);
  Rng rng(seed);
  for (size_t line = 0; line < plane.num_lines(); ++line) {
    uint32_t state = 0;
    for (size_t i = 0; i < (by_rows ? plane.cols : plane.rows); ++i) {
      if (i % tile == 0) state = 0;
      const Symbol s = samplers[m.context[state] % samplers.size()].draw(rng);
      (by_rows ? out(line, i) : out(i, line)) = s;
      state = m.next[state * m.classes + (s & (m.classes - 1))];
    }
  }
  return out;
}

// Draws Gaussian integers: symbol = centre + round(scale_row scale_column g + context / 2). Scales are 2^(spread n) on
// both axes, multiplied by `scale`, with normal n. Adds to `bits` the code length of the symbols under the true
// distribution.
inline Matrix<Symbol> draw_scaled(const SymbolPlane& plane, double scale, double spread, uint64_t seed, double* bits) {
  Matrix<Symbol> out(plane.rows, plane.cols);
  Rng rng(seed);
  std::vector<double> rows, cols;
  for (size_t r = 0; r < plane.rows; ++r) rows.push_back(scale * std::exp2(spread * rng.normal()));
  for (size_t c = 0; c < plane.cols; ++c) cols.push_back(std::exp2(spread * rng.normal()));
  const bool by_rows = plane.lines == LineAxis::kRows;
  const FiniteState* m = plane.contexts.get();
  const double last = plane.alphabet - 1.0, centre = plane.alphabet / 2;
  const size_t tile = by_rows ? plane.cols : tile_rows(plane);
  for (size_t line = 0; line < plane.num_lines(); ++line) {
    uint32_t state = 0;
    for (size_t i = 0; i < (by_rows ? plane.cols : plane.rows); ++i) {
      if (i % tile == 0) state = 0;
      const size_t r = by_rows ? line : i, c = by_rows ? i : line;
      const double sigma = rows[r] * cols[c], mean = centre + (m != nullptr ? m->context[state] / 2.0 : 0.0);
      const double x = std::clamp(std::floor(mean + sigma * rng.normal() + 0.5), 0.0, last);
      const auto below = [&](double t) { return 0.5 * std::erfc((mean - t) / sigma * std::sqrt(0.5)); };
      const double p = (x == last ? 1 : below(x + 0.5)) - (x == 0 ? 0 : below(x - 0.5));
      *bits -= std::log2(std::max(p, 1e-12));
      out(r, c) = static_cast<Symbol>(x);
      if (m != nullptr) state = m->next[state * m->classes + (out(r, c) & (m->classes - 1))];
    }
  }
  return out;
}

}  // namespace occ
