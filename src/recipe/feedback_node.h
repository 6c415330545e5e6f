// Error feedback around a bound recipe (GPTQ, arXiv 2210.17323; LDLQ, 2307.13304). Let H = E[x x^T] [cols, cols] be the
// second moments of the inputs, H + damping = L L^T, and e = w - what the errors of a row w of weights that is decoded
// to what. Then
//   e (H + damping) e^T = |e L|^2 = sum_B |(v_B - what_B) L_BB|^2,   v_B = w_B + sum_{k after B} e_k L_kB L_BB^-1
// with a sum over blocks B of columns. A block is a granule of the child; for single columns L_kB L_BB^-1 = L_ki /
// L_ii. Therefore columns are coded from the last to the first, and v is coded in place of w. The sum on the right is
// the weighted error, which needs no further computation.
//
// The decoder does not know of the feedback: the stored planes are those of the child. The feedback takes cols / 2
// multiply-adds per weight. Nearly all of them are in matrix products, because the columns are divided into halves
// recursively. Panels of rows are kept transposed, so that a column is contiguous. Only for encoders
// (feedback_node_fit.cc needs BLAS). Results depend on the BLAS library, but not on the number of threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "recipe/bound.h"

namespace occ {

struct FeedbackFactor {
  Matrix<float> lower;         // L [cols, cols]
  std::vector<double> scales;  // L_ii
  double added = 0;            // the damping that was added to every diagonal element of H
};
// Factors ctx.hessian plus ctx.damping times the mean of its diagonal. If that is not positive definite, the damping is
// multiplied by four until it is, and a fallback is reported. If H is zero or no damping helps, returns nothing and
// reports a fallback. Input error if H is not finite.
std::optional<FeedbackFactor> factor_for_feedback(const FitContext& ctx);

class FeedbackNode final : public BoundRecipe {
 public:
  // The granule of the child must not span all columns. row_gains is FitContext::row_gains if the child feeds errors of
  // rows into later rows, otherwise it is empty.
  FeedbackNode(std::unique_ptr<BoundRecipe> child, FeedbackFactor factor, MatrixView<const float> row_gains = {});

  Shape shape() const override { return child_->shape(); }
  Granule granule() const override { return {child_->granule().rows, 0}; }
  size_t tile_rows() const override { return child_->tile_rows(); }
  size_t panel_rows() const override;
  void quantize(const Rect& at, MatrixView<float> values) override;
  void code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) override {
    child_->code(ctx, path, planes);
  }
  void dequantize(const Rect& at, MatrixView<float> out) const override { child_->dequantize(at, out); }
  bool weighted_errors(std::span<double> rows) const override;

 private:
  struct Panel;
  void code_panel(const Rect& at, MatrixView<float> values);
  void code_columns(const Panel& panel, size_t begin, size_t end);
  void code_granule(const Panel& panel, size_t col, size_t cols);
  void count_fed_errors(const Panel& panel);

  std::unique_ptr<BoundRecipe> child_;
  size_t unit_;          // number of columns in a granule of the child
  size_t block_;         // number of columns that are coded without BLAS; a multiple of unit_
  double added_;         // the damping that was added to the diagonal of H
  Matrix<float> gains_;  // [cols, cols]: L_BB on the diagonal, below it L_kB L_BB^-1
  Matrix<float> row_gains_;
  std::vector<double> row_errors_;
};

// Calls `fit` and wraps the result in a FeedbackNode if ctx.hessian can be factored and the granule of the result
// allows it.
std::unique_ptr<BoundRecipe> fit_with_feedback(
    Shape shape, const FitContext& ctx, const std::function<std::unique_ptr<BoundRecipe>(const FitContext&)>& fit);

}  // namespace occ
