#include "quantization/lloyd_levels.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numbers>
#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace occ {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }
double upper_tail(double x) { return 0.5 * std::erfc(x / std::numbers::sqrt2); }
double mass(double a, double b) { return a >= 0 ? upper_tail(a) - upper_tail(b) : upper_tail(-b) - upper_tail(-a); }

double quantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 100; ++i) {
    const double middle = 0.5 * (low + high);
    (upper_tail(-middle) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

// Makes one Newton step for the equations y_i = mean of the cell between its two midpoints. Returns the largest change.
double newton_step(std::vector<double>& y) {
  const size_t n = y.size();
  std::vector<double> below(n), diagonal(n), above(n), f(n);
  for (size_t i = 0; i < n; ++i) {
    const double a = i == 0 ? -kInfinity : 0.5 * (y[i - 1] + y[i]);
    const double b = i + 1 == n ? kInfinity : 0.5 * (y[i] + y[i + 1]);
    const double p = mass(a, b), center = (density(a) - density(b)) / p;
    const double by_a = i == 0 ? 0 : density(a) * (center - a) / p;
    const double by_b = i + 1 == n ? 0 : density(b) * (b - center) / p;
    f[i] = y[i] - center;
    diagonal[i] = 1 - 0.5 * (by_a + by_b);
    below[i] = -0.5 * by_a;
    above[i] = -0.5 * by_b;
  }
  for (size_t i = 1; i < n; ++i) {
    const double m = below[i] / diagonal[i - 1];
    diagonal[i] -= m * above[i - 1];
    f[i] -= m * f[i - 1];
  }
  for (size_t i = n; i-- > 0;) f[i] = (f[i] - (i + 1 < n ? above[i] * f[i + 1] : 0)) / diagonal[i];
  // Halves the step as long as it would change the order of the levels.
  for (double length = 1; length > 1e-6; length /= 2) {
    std::vector<double> next(n);
    for (size_t i = 0; i < n; ++i) next[i] = y[i] - 0.5 * length * (f[i] - f[n - 1 - i]);
    if (std::adjacent_find(next.begin(), next.end(), std::greater_equal<>()) != next.end()) continue;
    double change = 0;
    for (size_t i = 0; i < n; ++i) change = std::max(change, std::abs(next[i] - y[i]));
    y = std::move(next);
    return change;
  }
  return 0;
}

// Finds the best partition of cells into runs by dynamic programming. cost(i, j) is the cost of the run of cells
// [i, j).
class Partition {
 public:
  Partition(std::vector<double> weight, std::vector<double> sum, size_t count)
      : cells_(weight.size()),
        count_(count),
        weight_(cells_ + 1),
        sum_(cells_ + 1),
        before_(cells_ + 1),
        now_(cells_ + 1),
        from_(count * (cells_ + 1)) {
    for (size_t i = 0; i < cells_; ++i) {
      weight_[i + 1] = weight_[i] + weight[i];
      sum_[i + 1] = sum_[i] + sum[i];
    }
  }

  std::vector<double> solve() {
    std::fill(before_.begin(), before_.end(), kInfinity);
    before_[0] = 0;
    for (size_t k = 0; k < count_; ++k) {
      std::fill(now_.begin(), now_.end(), kInfinity);
      fill(k, k + 1, cells_, k, cells_ - 1);
      before_.swap(now_);
    }
    std::vector<double> levels(count_);
    size_t end = cells_;
    for (size_t k = count_; k-- > 0;) {
      const size_t begin = from_[k * (cells_ + 1) + end];
      levels[k] = (sum_[end] - sum_[begin]) / (weight_[end] - weight_[begin]);
      end = begin;
    }
    OCC_CHECK(end == 0);
    return levels;
  }

 private:
  double cost(size_t i, size_t j) const {
    const double w = weight_[j] - weight_[i], m = sum_[j] - sum_[i];
    return w > 0 ? -m * (m / w) : 0;
  }

  // Computes now_[j] for j in [low, high]. The best beginnings of the last runs lie in [first, last].
  void fill(size_t k, size_t low, size_t high, size_t first, size_t last) {
    if (low > high) return;
    const size_t j = low + (high - low) / 2;
    double best = kInfinity;
    size_t at = first;
    for (size_t i = first; i <= std::min(last, j - 1); ++i) {
      const double c = before_[i] + cost(i, j);
      if (c < best) best = c, at = i;
    }
    now_[j] = best;
    from_[k * (cells_ + 1) + j] = static_cast<uint32_t>(at);
    if (j > low) fill(k, low, j - 1, first, at);
    fill(k, j + 1, high, at, last);
  }

  const size_t cells_, count_;
  std::vector<double> weight_, sum_;  // prefix sums
  std::vector<double> before_, now_;  // best cost of the first j cells in k and in k + 1 runs
  std::vector<uint32_t> from_;        // [count, cells + 1] beginning of the last of these runs
};

}  // namespace

std::vector<double> gaussian_levels(unsigned bits) {
  OCC_CHECK(bits >= 1 && bits <= 8);
  const size_t n = size_t{1} << bits;
  std::vector<double> y(n);
  for (size_t i = 0; i < n; ++i) {
    y[i] = std::sqrt(3.0) * quantile((static_cast<double>(i) + 0.5) / static_cast<double>(n));
  }
  for (size_t i = 0; i < n / 2; ++i) y[i] = -y[n - 1 - i];
  for (int i = 0; i < 100 && newton_step(y) > 1e-12; ++i) {
  }
  return y;
}

std::vector<double> best_levels(std::span<const double> weight, std::span<const double> sum, size_t count) {
  // Cells below 1e-12 of the whole weight do not matter, and would be lost in the rounding of the prefix sums.
  const double least = 1e-12 * std::accumulate(weight.begin(), weight.end(), 0.0);
  std::vector<double> w, m;
  for (size_t i = 0; i < weight.size(); ++i) {
    if (weight[i] > least) w.push_back(weight[i]), m.push_back(sum[i]);
  }
  if (w.empty()) return std::vector<double>(count);
  const size_t runs = std::min(count, w.size());
  std::vector<double> levels = Partition(std::move(w), std::move(m), runs).solve();
  std::sort(levels.begin(), levels.end());  // rounding can change the order
  levels.resize(count, levels.back());
  return levels;
}

void get_levels(std::span<float> levels, float least, float most, ByteReader& side) {
  side.get_array(levels.data(), levels.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    if (!(levels[i] >= least && levels[i] <= most) || (i > 0 && levels[i] < levels[i - 1])) {
      throw_input("{}: expected {} ascending levels from {} to {}, found {} as number {}", side.what(), levels.size(),
                  least, most, levels[i], i);
    }
  }
}

}  // namespace occ
