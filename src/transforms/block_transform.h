// Transforms that map an axis block by block with an orthonormal matrix: dct, dst and hadamard. The parameter `block`
// is the length of the blocks (0: one block, the whole axis); the last block may be shorter.
//
// What differs between them is a class Plan<T>, the transform of one length n >= 1 for elements T (float for values,
// double for Hessians):
//   Plan(n, params, kind)      throws an error of `kind` where the transform does not exist for this length
//   size()                     n
//   work_size()                the number of elements of memory that map() needs to work in
//   map(panel, work, inverse)  transforms a panel [n, 16] (simd/panel.h), which it may overwrite, and returns where the
//                              result is: `panel` or `work`
//   map_blocks(row, count, inverse)  optional: transforms `count` blocks that follow each other in a row, in place
#pragma once

#include <optional>

#include "transforms/axis.h"

namespace occ {

template <template <typename T> class Plan>
class BlockTransform final : public Transform {
 public:
  BlockTransform(const Params& params, Shape shape, ErrorKind kind)
      : params_(params), axis_(axis_of(params)), length_(axis_length(axis_, shape)) {
    if (length_ != 0) blocks_.emplace(params, length_, kind);
  }
  TransformTraits traits() const override { return axis_traits(axis_); }
  Granule granule() const override { return axis_granule(axis_); }

  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    apply(x, planes[0], false);
  }
  void inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    apply(planes[0], x, true);
  }
  void transform_hessian(MatrixView<double> h) const override {
    if (axis_ == Axis::kOut) return Transform::transform_hessian(h);
    OCC_CHECK(h.rows() == length_);
    if (length_ == 0) return;
    const Blocks<double> blocks(params_, length_, ErrorKind::kUsage);
    Matrix<double> strip = Matrix<double>::uninitialized(length_, kPanelLanes);
    Matrix<double> work = Matrix<double>::uninitialized(1, blocks.work_size());
    congruence(h, [&](MatrixView<double> m) {
      for_each_column_panel(m, strip.data(), [&](double* panel) {
        for (size_t at = 0; at < length_; at += blocks.length, panel += blocks.length * kPanelLanes) {
          const Plan<double>& plan = blocks.at(at);
          const double* result = plan.map(panel, work.data(), false);
          if (result != panel) std::copy_n(result, plan.size() * kPanelLanes, panel);
        }
      });
    });
  }

 private:
  template <typename T>
  struct Blocks {
    Blocks(const Params& params, size_t axis, ErrorKind kind)
        : axis_length(axis), length(length_of(params, axis)), whole(length, params, kind) {
      if (axis % length != 0) rest.emplace(axis % length, params, kind);
    }
    static size_t length_of(const Params& params, size_t axis) {
      const auto block = static_cast<size_t>(params.integer("block"));
      return block == 0 ? axis : std::min(block, axis);
    }
    // Returns the plan of the block that begins at element `begin` of the axis.
    const Plan<T>& at(size_t begin) const { return axis_length - begin >= length ? whole : *rest; }
    size_t work_size() const { return std::max(whole.work_size(), rest ? rest->work_size() : 0); }

    size_t axis_length, length;
    Plan<T> whole;
    std::optional<Plan<T>> rest;
  };

  void apply(MatrixView<const float> x, MatrixView<float> y, bool inverse) const {
    OCC_CHECK(axis_length(axis_, x.shape()) == length_);
    if (x.size() == 0) return;
    const Blocks<float>& blocks = *blocks_;
    if constexpr (requires(float* row) { blocks.whole.map_blocks(row, size_t{1}, inverse); }) {
      if (axis_ == Axis::kIn) {
        const size_t count = length_ / blocks.length;
        for (size_t r = 0; r < x.rows(); ++r) {
          if (x.row(r) != y.row(r)) std::memcpy(y.row(r), x.row(r), length_ * sizeof(float));
          blocks.whole.map_blocks(y.row(r), count, inverse);
          if (blocks.rest) blocks.rest->map_blocks(y.row(r) + count * blocks.length, 1, inverse);
        }
        return;
      }
    }
    Matrix<float> panel = Matrix<float>::uninitialized(blocks.length, kPanelLanes);
    Matrix<float> work = Matrix<float>::uninitialized(1, blocks.work_size());
    for (size_t begin = 0; begin < length_; begin += blocks.length) {
      const Plan<float>& plan = blocks.at(begin);
      for_each_panel(axis_, x, y, begin, plan.size(), panel.data(),
                     [&](float* p) { return plan.map(p, work.data(), inverse); });
    }
  }

  Params params_;
  Axis axis_;
  size_t length_;
  std::optional<Blocks<float>> blocks_;  // empty if the axis has no elements
};

}  // namespace occ
