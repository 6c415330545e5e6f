// Error feedback around a bound recipe (GPTQ, arXiv 2210.17323; LDLQ, 2307.13304). With H = E[x x^T] [cols, cols] of
// the inputs, H + damping = L L^T and errors e = w - what of a row of weights,
//   e (H + damping) e^T = |e L|^2 = sum_B |(v_B - what_B) L_BB|^2,   v_B = w_B + sum_{k after B} e_k L_kB L_BB^-1
// over blocks B of columns (the child's granule; for single columns L_kB L_BB^-1 = L_ki / L_ii). So columns are coded
// from last to first, and what is coded is v. The sum on the right is the weighted error, free of charge.
//
// Nothing of it is stored: the planes are those of the child. It takes cols / 2 multiply-adds per weight, nearly all of
// them in matrix products, because the columns are halved again and again. Panels of rows are kept transposed, so that
// a column is contiguous. Encoder only (feedback_node_fit.cc, needs BLAS): results depend on the BLAS, not on the
// threads.
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
  double added = 0;            // to every diagonal element of H
};
// Factors ctx.hessian + ctx.damping * mean(diagonal). Where that is not positive definite, the damping is multiplied by
// four until it is, and a fallback is reported. Nothing, and a fallback, if H is zero or no damping helps. Input error
// if H is not finite.
std::optional<FeedbackFactor> factor_for_feedback(const FitContext& ctx);

class FeedbackNode final : public BoundRecipe {
 public:
  // The granule of the child must span some columns, not all. row_gains: where the child feeds errors of rows into
  // later rows, FitContext::row_gains; otherwise empty.
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
  size_t unit_;          // columns of a granule
  size_t block_;         // columns that are coded without BLAS; a multiple of unit_
  double added_;         // to the diagonal of H
  Matrix<float> gains_;  // [cols, cols]: L_BB on the diagonal, below it L_kB L_BB^-1
  Matrix<float> row_gains_;
  std::vector<double> row_errors_;
};

// What `fit` makes of a context, in a FeedbackNode if ctx.hessian can be factored and the granule of the child allows
// it.
std::unique_ptr<BoundRecipe> fit_with_feedback(
    Shape shape, const FitContext& ctx, const std::function<std::unique_ptr<BoundRecipe>(const FitContext&)>& fit);

}  // namespace occ
