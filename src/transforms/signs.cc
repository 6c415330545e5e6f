// The stage `signs`: y = x diag(s) (axis=in) or y = diag(s) x (axis=out) with random signs: s_i = -1 if bit i mod 64 of
// random_word(seed, i / 64) is set, otherwise 1. In front of a fixed rotation it makes the rotation random: the recipe
// signs > hadamard is the randomized Hadamard transform (Ailon & Chazelle 2006). It takes no bytes but the seed in the
// recipe.
#include <array>
#include <bit>

#include "base/rng.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 2> kParams = {
    int_param("seed", "0", 0, 9007199254740991.0, "names the sequence of signs"),
    choice_param("axis", "in", "in|out", "a sign per column (in) or per row (out)"),
};

class Signs final : public Transform {
 public:
  Signs(const Params& params, Shape, ErrorKind)
      : seed_(static_cast<uint64_t>(params.integer("seed"))), axis_(axis_of(params)) {}
  TransformTraits traits() const override {
    TransformTraits traits = axis_traits(axis_);
    traits.linear = traits.row_local = true;  // also true for axis=out, because signs do not mix rows
    return traits;
  }
  Granule granule() const override { return {1, 1}; }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    apply(at, x, planes[0]);
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    apply(at, planes[0], x);
  }
  void transform_hessian(MatrixView<double> h) const override {
    if (axis_ == Axis::kOut) return;
    for (size_t r = 0; r < h.rows(); ++r) {
      for (size_t c = 0; c < h.cols(); ++c) h(r, c) = negative(r) != negative(c) ? -h(r, c) : h(r, c);
    }
  }

 private:
  bool negative(uint64_t i) const { return (random_word(seed_, i / 64) >> (i % 64) & 1) != 0; }

  // Works on chunks of columns. The sign bits of a chunk are computed once for all rows.
  void apply(const Rect& at, MatrixView<const float> x, MatrixView<float> y) const {
    constexpr size_t kChunk = 1024;
    std::array<uint32_t, kChunk> bits;
    for (size_t c0 = 0; c0 < x.cols(); c0 += kChunk) {
      const size_t count = std::min(kChunk, x.cols() - c0);
      if (axis_ == Axis::kIn) {
        for (size_t c = 0; c < count; ++c) bits[c] = negative(at.col + c0 + c) ? 0x80000000u : 0;
      }
      for (size_t r = 0; r < x.rows(); ++r) {
        if (axis_ == Axis::kOut) bits.fill(negative(at.row + r) ? 0x80000000u : 0);
        const float* from = x.row(r) + c0;
        float* to = y.row(r) + c0;
        for (size_t c = 0; c < count; ++c) to[c] = std::bit_cast<float>(std::bit_cast<uint32_t>(from[c]) ^ bits[c]);
      }
    }
  }

  uint64_t seed_;
  Axis axis_;
};

}  // namespace

TransformEntry signs_entry() {
  return {"signs", "random signs of columns or rows", kParams, {}, fit_by_shape<Signs>, load_by_shape<Signs>};
}

}  // namespace occ
