// Binds a recipe to values: every stage is fitted to the output of the stages before it for the whole matrix. Memory:
// one matrix for a chain, because transforms work in place, and one more for every residual term.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "recipe/feedback_node.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

constexpr size_t kPanelElements = size_t{1} << 18;

// Calls body(rect) in parallel over panels of rows that suit the granule and have at least `least` rows each.
void for_row_panels(Shape shape, size_t granule_rows, size_t least, const std::function<void(const Rect&)>& body) {
  if (shape.rows == 0) return;
  const size_t unit = granule_rows == 0 ? shape.rows : granule_rows;
  const size_t panel = kPanelElements / std::max<size_t>(1, shape.cols * unit);
  const size_t rows = std::max({size_t{1}, panel, ceil_div(least, unit)}) * unit;
  parallel_for(ceil_div(shape.rows, rows), [&](size_t i) {
    body({i * rows, 0, std::min(rows, shape.rows - i * rows), shape.cols});
  });
}

Matrix<float> read_all(const RowSource& source) {
  const Shape shape = source.shape();
  Matrix<float> x = Matrix<float>::uninitialized(shape.rows, shape.cols);
  for_row_panels(shape, 1, 1, [&](const Rect& at) { source.read_rows(at.row, x.view().sub(at)); });
  return x;
}

// Whether the transform multiplies every column by the same orthonormal matrix. Then tr(E H E^T) is the same before and
// after the transform, with the same H.
bool rotates_columns(const Transform& transform, bool keeps_shape) {
  const TransformTraits traits = transform.traits();
  return keeps_shape && traits.isometric && !traits.row_local && transform.granule().cols == 1;
}

// Returns the row gains (FitContext) for the output of a transform: an error in row r of the output is
// sqrt(error_gain(r)) times as large in the input.
Matrix<float> scaled_row_gains(MatrixView<const float> gains, const Transform& transform) {
  Matrix<float> out(gains.rows(), gains.cols());
  std::vector<float> roots(gains.rows());
  for (size_t r = 0; r < roots.size(); ++r) roots[r] = static_cast<float>(std::sqrt(transform.error_gain(r)));
  for (size_t s = 0; s < gains.rows(); ++s) {
    const size_t first = s - s % gains.cols(), last = std::min(gains.rows(), first + gains.cols());
    for (size_t r = s + 1; r < last; ++r) {
      if (roots[r] > 0) out(s, r - first) = gains(s, r - first) * (roots[s] / roots[r]);
    }
  }
  return out;
}

std::unique_ptr<BoundRecipe> fit_chain(const Chain& chain, size_t stage, Matrix<float>& x, const FitContext& ctx);

std::unique_ptr<BoundRecipe> fit_leaf(const Chain& chain, size_t stage, Matrix<float>& x, const FitContext& ctx) {
  const Stage& s = chain.stages[stage];
  const QuantizerFit fit = quantizer_fit(*find_quantizer(s.name));
  std::unique_ptr<Quantizer> quantizer;
  if (ctx.codebooks.empty()) {
    quantizer = fit(s.params, x.view(), ctx);
  } else {
    ByteReader side(ctx.codebooks, "codebooks");
    quantizer = find_quantizer(s.name)->load(s.params, x.shape(), side);
    side.expect_done();
    if (quantizer->product_codes() == nullptr) throw_usage("{}: expected a product quantizer for codebooks", s.name);
  }
  // Error feedback is not possible with this quantizer.
  if (!ctx.feedback_scales.empty() && quantizer->granule().cols == 0) {
    FitContext plain = ctx;
    plain.feedback_scales = {};
    quantizer = fit(s.params, x.view(), plain);
  }
  auto leaf = std::make_unique<LeafNode>(x.shape(), chain, std::move(quantizer));
  if (stage > 0) x = Matrix<float>();  // frees the values before the symbols are allocated
  leaf->allocate_symbols();
  return leaf;
}

// Fits a transform and everything after it.
std::unique_ptr<BoundRecipe> fit_node(const Chain& chain, size_t stage, Matrix<float>& x, const FitContext& ctx,
                                      std::unique_ptr<Transform> transform) {
  const Shape shape = x.shape();
  const TransformEntry* entry = find_transform(chain.stages[stage].name);
  const size_t count = std::max<size_t>(1, entry->planes.size());
  const Rect all{0, 0, shape.rows, shape.cols};
  const bool keeps_shape = entry->planes.empty() && transform->plane_rect(0, all) == all;
  const Granule granule = transform->granule();

  FitContext below = ctx;
  Matrix<double> hessian;
  if (ctx.hessian.size() != 0 && carries_hessian(*transform, count, shape)) {
    hessian = Matrix<double>::uninitialized(shape.cols, shape.cols);
    for (size_t r = 0; r < shape.cols; ++r) std::copy_n(ctx.hessian.row(r), shape.cols, hessian.row(r));
    transform->transform_hessian(hessian.view());
    below.hessian = hessian.view();
  } else if (!rotates_columns(*transform, keeps_shape)) {
    below.hessian = {};
    if (!keeps_shape || granule.cols != 1) below.feedback_scales = {};
  }

  Matrix<float> row_gains;
  if (ctx.row_gains.size() != 0 && keeps_shape && carries_hessian(*transform, count, shape)) {
    row_gains = scaled_row_gains(ctx.row_gains, *transform);
  }
  below.row_gains = row_gains.view();

  std::vector<std::unique_ptr<BoundRecipe>> children;
  if (keeps_shape) {
    for_row_panels(shape, granule.rows, 1, [&](const Rect& at) {
      const MatrixView<float> view = x.view().sub(at);
      transform->forward(at, view, {&view, 1});
    });
    children.push_back(fit_chain(chain, stage + 1, x, below));
  } else {
    std::vector<Matrix<float>> planes;
    for (size_t i = 0; i < count; ++i) {
      const Rect r = transform->plane_rect(i, all);
      planes.push_back(Matrix<float>::uninitialized(r.rows, r.cols));
    }
    std::vector<MatrixView<float>> views;
    for (Matrix<float>& p : planes) views.push_back(p.view());
    transform->forward(all, x.view(), views);
    x = Matrix<float>();
    for (size_t i = 0; i < count; ++i) {
      if (entry->planes.empty()) {
        children.push_back(fit_chain(chain, stage + 1, planes[i], below));
      } else {
        const std::vector<MatrixView<const float>> decoded(views.begin(), views.begin() + static_cast<ptrdiff_t>(i));
        transform->refine(all, i, decoded, views[i]);
        children.push_back(fit_recipe(chain.branches[i].recipe, MatrixSource(views[i]), below));
        if (transform->traits().refines) {
          children.back()->quantize(transform->plane_rect(i, all), views[i]);
        } else {
          planes[i] = Matrix<float>();
        }
      }
    }
  }
  return std::make_unique<TransformNode>(shape, chain.stages[stage].name, entry->planes, std::move(transform),
                                         std::move(children));
}

// Carries H through the transforms as far as possible. Error feedback begins there: before the quantizer, or before the
// first transform that is neither linear in each row nor a rotation of the columns. Stages after that place are fitted
// with the scales of the feedback.
std::unique_ptr<BoundRecipe> fit_chain(const Chain& chain, size_t stage, Matrix<float>& x, const FitContext& ctx) {
  const bool is_leaf = stage == num_transforms(chain);
  std::unique_ptr<Transform> transform;
  bool feedback = ctx.feedback && ctx.hessian.size() != 0 && ctx.feedback_scales.empty();
  if (!is_leaf) {
    const TransformEntry* entry = find_transform(chain.stages[stage].name);
    transform = transform_fit(*entry)(chain.stages[stage].params, x.view(), ctx);
    const Rect all{0, 0, x.rows(), x.cols()};
    feedback &= !carries_hessian(*transform, std::max<size_t>(1, entry->planes.size()), x.shape()) &&
                !rotates_columns(*transform, entry->planes.empty() && transform->plane_rect(0, all) == all);
  }
  const auto fit = [&](const FitContext& c) {
    return is_leaf ? fit_leaf(chain, stage, x, c) : fit_node(chain, stage, x, c, std::move(transform));
  };
  return feedback ? fit_with_feedback(x.shape(), ctx, fit) : fit(ctx);
}

}  // namespace

std::unique_ptr<BoundRecipe> fit_recipe(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                                        Matrix<float>* values) {
  if (recipe.terms.size() == 1) {
    Matrix<float> x = read_all(source);
    auto bound = fit_chain(recipe.terms[0], 0, x, ctx);
    if (values != nullptr) *values = std::move(x);  // empty if a transform has used the memory
    return bound;
  }
  Matrix<float> residual = read_all(source);
  std::vector<std::unique_ptr<BoundRecipe>> terms;
  for (const Chain& chain : recipe.terms) {
    // Only the last term determines the final error. Feedback in an earlier term would only make the residual larger.
    FitContext term_ctx = ctx;
    term_ctx.feedback &= &chain == &recipe.terms.back();
    Matrix<float> x = residual.clone();
    terms.push_back(fit_chain(chain, 0, x, term_ctx));
    if (&chain == &recipe.terms.back()) break;  // no term is fitted to the residual of the last term
    x = Matrix<float>();
    BoundRecipe& term = *terms.back();
    for_row_panels(residual.shape(), term.granule().rows, term.panel_rows(), [&](const Rect& at) {
      Matrix<float> decoded = Matrix<float>::uninitialized(at.rows, at.cols);
      std::copy_n(residual.row(at.row), decoded.size(), decoded.data());
      term.quantize(at, decoded.view());
      float* r = residual.row(at.row);
      for (size_t i = 0; i < decoded.size(); ++i) r[i] -= decoded.data()[i];
    });
  }
  return std::make_unique<SumNode>(std::move(terms));
}

}  // namespace occ
