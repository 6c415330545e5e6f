// Exact search of the nearest of many directions: for a vector x, the point p with the largest product <x, p>, the
// first one in case of ties.
//
// The points have (nearly) equal lengths. A few rounds of k-means cluster them into groups and each group into leaves
// of up to 16 points. Groups and leaves are caps of the sphere, with a center c and an angular radius r. By the
// triangle inequality for angles no point of a cap is closer to x than angle(x, c) - r. With b = <x, p> for the best p
// of the nearest leaf, a cap can therefore be skipped if
//   <x, c> < b cos r - sqrt(|x|^2 |p|^2 - b^2) sin r.
// The caps that remain are listed before they are visited, which saves mispredicted branches. A margin above all
// rounding errors makes the result equal to that of the exhaustive search, with f32 products summed in the order of
// coordinates, on every SIMD target.
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

// The tables that the kernels read. Vectors are stored in panels [dim, 16]: coordinate i of vector j is at
// panel[16 i + j]. A panel of centers that is not full repeats its first center.
struct DirectionTable {
  static constexpr size_t kLanes = 16, kMaxGroups = 512, kMaxLeaves = 1024;
  // The centers of groups or of leaves, and the cosines and sines of their angular radii.
  struct Caps {
    Matrix<float> centers;  // each row is one panel
    std::vector<float> cos_r, sin_r;
  };
  size_t dim = 0, groups = 0;
  Caps group, leaf;
  std::vector<uint32_t> begin;  // [groups + 1] index of the first panel with leaf centers of each group
  Matrix<float> points;         // each row is the panel of the points of one leaf
  std::vector<uint32_t> index;  // [leaves, 16] indices of these points
  float length = 0;             // the largest |p|
  float margin = 0;             // allowance for rounding errors, relative to |x| |p|
};

class DirectionSearch {
 public:
  // points [count, dim] with at most 2^16 points and dim = 2, 4, 8 or 16.
  explicit DirectionSearch(Matrix<float> points);
  const Matrix<float>& points() const { return points_; }
  // Searches for the n vectors of x [n, dim], which are finite with magnitudes of at most 1e15. A vector shorter than
  // 1e-15 gets {0, 0}. Thread-safe.
  void nearest(const float* x, size_t n, DirectionHit* out) const;

 private:
  Matrix<float> points_;
  DirectionTable table_;
};

}  // namespace occ
