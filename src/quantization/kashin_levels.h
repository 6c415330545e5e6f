// The values that the two parts u and v of `kashin` can have: levels for each part, or points (u, v) for pairs. Finds
// the nearest levels and points, and fits the best ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "occ/matrix.h"
#include "quantization/lloyd_levels.h"
#include "tensor/symbols.h"

namespace occ {

constexpr float kMaxKashinLevel = 0x1p32f;  // limit of magnitudes, so that products stay finite

// Ascending levels, and the borders midway between them.
struct KashinLevels {
  std::vector<float> level, border;

  void set(const std::vector<double>& levels) {
    level.resize(levels.size());
    for (size_t i = 0; i < levels.size(); ++i) {
      level[i] =
          static_cast<float>(std::clamp(levels[i], -static_cast<double>(kMaxKashinLevel), double{kMaxKashinLevel}));
    }
    set_borders();
  }
  void set_borders() {
    border.resize(level.size() - 1);
    for (size_t i = 0; i < border.size(); ++i) border[i] = 0.5f * level[i] + 0.5f * level[i + 1];
  }
};

// Replaces values [count] by the nearest levels.
inline void snap(const KashinLevels& levels, float* values, size_t count) {
  constexpr size_t kStep = 64;
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    float out[kStep];
    for (float& o : out) o = levels.level[0];
    for (size_t k = 0; k < levels.border.size(); ++k) {
      const float border = levels.border[k], next = levels.level[k + 1];
      for (size_t j = 0; j < kStep; ++j) out[j] = values[i + j] > border ? next : out[j];
    }
    std::copy_n(out, kStep, values + i);
  }
  for (; i < count; ++i) {
    float out = levels.level[0];
    for (size_t k = 0; k < levels.border.size(); ++k) out = values[i] > levels.border[k] ? levels.level[k + 1] : out;
    values[i] = out;
  }
}

// Fits the levels with the least squared error for all values that were added, by dynamic programming (lloyd_levels.h)
// over a histogram whose cells are evenly spaced in t / (4 + |t|).
class KashinHistogram {
 public:
  KashinHistogram() : weight_(kCells), sum_(kCells) {}
  void add(const float* values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const float t = values[i], position = t / (4 + std::abs(t));
      const auto cell = static_cast<size_t>(std::clamp((position + 1) * (0.5f * kCells), 0.0f, kCells - 1.0f));
      weight_[cell] += 1;
      sum_[cell] += static_cast<double>(t);
    }
  }
  std::vector<double> best(unsigned bits) const { return best_levels(weight_, sum_, size_t{1} << bits); }

 private:
  static constexpr size_t kCells = 2048;
  std::vector<double> weight_, sum_;
};

// Points (u, v) of the plane; half[j] is half of the squared norm of point j.
struct KashinPoints {
  std::vector<float> u, v, half;

  void resize(size_t count) {
    u.resize(count);
    v.resize(count);
    set_halves();
  }
  void set_halves() {
    half.resize(u.size());
    for (size_t k = 0; k < u.size(); ++k) half[k] = 0.5f * (u[k] * u[k] + v[k] * v[k]);
  }
  // Sets all pairs of levels as points: level i of a and level j of b are point number i * (number of levels of b) + j.
  void set_grid(const KashinLevels& a, const KashinLevels& b) {
    u.clear();
    v.clear();
    for (const float x : a.level) {
      for (const float y : b.level) {
        u.push_back(x);
        v.push_back(y);
      }
    }
    set_halves();
  }
};

// Sets codes[i] to the number of the point nearest to (u[i], v[i]). Among equally near points it is the lowest number.
inline void nearest_points(const KashinPoints& points, const float* u, const float* v, size_t count, int32_t* codes) {
  constexpr size_t kStep = 64;
  for (size_t i = 0; i < count; i += kStep) {
    const size_t n = std::min(kStep, count - i);
    float a[kStep] = {}, b[kStep] = {}, best[kStep];
    int32_t at[kStep] = {};
    std::copy_n(u + i, n, a);
    std::copy_n(v + i, n, b);
    for (size_t j = 0; j < kStep; ++j) best[j] = points.half[0] - a[j] * points.u[0] - b[j] * points.v[0];
    for (size_t k = 1; k < points.u.size(); ++k) {
      const float pu = points.u[k], pv = points.v[k], half = points.half[k];
      const auto code = static_cast<int32_t>(k);
      for (size_t j = 0; j < kStep; ++j) {
        const float distance = half - a[j] * pu - b[j] * pv;
        at[j] = distance < best[j] ? code : at[j];
        best[j] = distance < best[j] ? distance : best[j];
      }
    }
    std::copy_n(at, n, codes + i);
  }
}

// For each point, the number and the sums of the pairs that are nearest to it.
struct PointSums {
  explicit PointSums(size_t points) : weight(points), u(points), v(points) {}
  void add(const Matrix<int32_t>& codes, const Matrix<float>& a, const Matrix<float>& b, size_t rows) {
    for (size_t c = 0; c < codes.rows(); ++c) {
      for (size_t k = 0; k < rows; ++k) {
        const auto at = static_cast<size_t>(codes(c, k));
        weight[at] += 1;
        u[at] += double{a(c, k)};
        v[at] += double{b(c, k)};
      }
    }
  }
  void add(const PointSums& o) {
    for (size_t k = 0; k < u.size(); ++k) {
      weight[k] += o.weight[k];
      u[k] += o.u[k];
      v[k] += o.v[k];
    }
  }
  // Moves every point to the mean of its pairs. A point without pairs does not move.
  void means(KashinPoints& points) const {
    const auto level = [](double t) {
      return static_cast<float>(std::clamp(t, -double{kMaxKashinLevel}, double{kMaxKashinLevel}));
    };
    for (size_t k = 0; k < u.size(); ++k) {
      if (weight[k] == 0) continue;
      points.u[k] = level(u[k] / weight[k]);
      points.v[k] = level(v[k] / weight[k]);
    }
    points.set_halves();
  }
  std::vector<double> weight, u, v;
};

}  // namespace occ
