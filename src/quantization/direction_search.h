// The nearest of many directions, exactly: for x the point p with the largest <x, p>, the first of those that tie.
//
// Points of (nearly) equal length are clustered into groups of up to 16 leaves, by a few rounds of k-means on each
// level; leaves and groups have a center c and a radius r. No point in one is nearer than a(x, c) - r, a the angle.
// Once the best angle found so far is below that, it is skipped: with b = <x, best>, if
//   <x, c> < b cos r - sqrt(|x|^2 |p|^2 - b^2) sin r.
// A margin above all rounding errors keeps the result that of the exhaustive search, with f32 products summed in the
// order of coordinates, on every SIMD target.
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

// What the kernels see. Panels [dim, 16]: coordinate i of lane j at panel[16 i + j].
struct DirectionTable {
  static constexpr size_t kLanes = 16, kMaxGroups = 1024;
  // Centers of groups or leaves and cosines and sines of their radii, padded to whole panels.
  struct Caps {
    Matrix<float> centers;  // a row is a panel
    std::vector<float> cos_r, sin_r;
  };
  size_t dim = 0, groups = 0;
  Caps group, leaf;              // leaves of group g: panel g
  std::vector<uint32_t> leaves;  // [groups]: how many of its 16 there are
  std::vector<uint32_t> begin;   // [groups * 16 + 1]: first panel of points of each leaf
  Matrix<float> points;          // a row is a panel
  std::vector<uint32_t> index;   // of each lane of these panels
  float length = 0;              // largest |p|
  float margin = 0;              // relative to |x| |p|
};

class DirectionSearch {
 public:
  explicit DirectionSearch(Matrix<float> points);  // [count, dim], dim 2, 4, 8 or 16, at most 2^16
  const Matrix<float>& points() const { return points_; }
  // x [n, dim], finite, magnitudes at most 1e15; {0, 0} where |x| is below 1e-15. Thread-safe.
  void nearest(const float* x, size_t n, DirectionHit* out) const;

 private:
  void append_group(const std::vector<uint32_t>& ids);
  void append_leaf(const std::vector<uint32_t>& ids);
  void set_cap(DirectionTable::Caps& caps, size_t at, std::span<const uint32_t> ids);

  Matrix<float> points_;
  DirectionTable table_;
};

}  // namespace occ
