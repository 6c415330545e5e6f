// The bound low-rank transform as the decoder needs it. lowrank.cc describes it; lowrank_fit.h makes one for a matrix.
#pragma once

#include <cstddef>
#include <span>

#include "base/params.h"
#include "transforms/transform.h"

namespace occ {

std::span<const ParamSpec> lowrank_params();

// Two planes: left [rows, rank] and right [rank, cols], whose product is the matrix.
class LowRank : public Transform {
 public:
  LowRank(const Params& params, Shape shape);
  TransformTraits traits() const override {
    return {.row_local = false, .refines = true, .exact = false, .product = true};
  }
  Rect plane_rect(size_t plane, const Rect& at) const override;
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override;
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override;

  Shape shape() const { return shape_; }
  size_t rank() const { return rank_; }

 private:
  Shape shape_;
  size_t rank_;
};

}  // namespace occ
