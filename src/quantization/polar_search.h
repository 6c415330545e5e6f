// The nearest of many directions, exactly: for x the point p with the largest <x, p>, the first of those that tie.
//
// Points of (nearly) equal length are clustered into groups and these into leaves of up to 16, by a few rounds of
// k-means on each level; both have a center c and a radius r. No point in one is nearer than a(x, c) - r, a the angle.
// With b = <x, best of the nearest leaf> as the best angle so far, one is skipped if that is above it:
//   <x, c> < b cos r - sqrt(|x|^2 |p|^2 - b^2) sin r.
// What remains is listed before it is visited, which keeps branches few: mispredicted ones would cost more than
// products. A margin above all rounding errors keeps the result that of the exhaustive search, with f32 products summed
// in the order of coordinates, on every SIMD target.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

struct DirectionHit {
  uint32_t index = 0;
  float dot = 0;  // <x, p>
};

// What the kernels see. Panels [dim, 16]: coordinate i of lane j at panel[16 i + j]. Lanes that fill up the last panel
// of centers repeat its first one.
struct DirectionTable {
  static constexpr size_t kLanes = 16, kMaxGroups = 512, kMaxLeaves = 1024;
  // Centers of groups or leaves and cosines and sines of their radii.
  struct Caps {
    Matrix<float> centers;  // a row is a panel
    std::vector<float> cos_r, sin_r;
  };
  size_t dim = 0, groups = 0;
  Caps group, leaf;
  std::vector<uint32_t> begin;  // [groups + 1]: panels of leaf centers
  Matrix<float> points;         // row: panel of points of each leaf
  std::vector<uint32_t> index;  // [leaves, 16]
  float length = 0;             // largest |p|
  float margin = 0;             // relative to |x| |p|
};

class DirectionSearch {
 public:
  explicit DirectionSearch(Matrix<float> points);  // [count, dim], dim 2, 4, 8 or 16, at most 2^16
  const Matrix<float>& points() const { return points_; }
  // x [n, dim], finite, magnitudes at most 1e15; {0, 0} where |x| is below 1e-15. Thread-safe.
  void nearest(const float* x, size_t n, DirectionHit* out) const;

 private:
  Matrix<float> points_;
  DirectionTable table_;
};

}  // namespace occ
