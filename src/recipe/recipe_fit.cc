// Binding a recipe to values: every stage is fitted to what the stages before it make of the whole matrix. One matrix
// of working memory per chain (transforms run in place), one more per residual term.
#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

constexpr size_t kPanelElements = size_t{1} << 18;

// Calls body(rect) over panels of rows that suit the granule; in parallel.
void for_row_panels(Shape shape, size_t granule_rows, const std::function<void(const Rect&)>& body) {
  if (shape.rows == 0) return;
  const size_t unit = granule_rows == 0 ? shape.rows : granule_rows;
  const size_t rows = std::max<size_t>(1, kPanelElements / std::max<size_t>(1, shape.cols * unit)) * unit;
  parallel_for(ceil_div(shape.rows, rows), [&](size_t i) {
    body({i * rows, 0, std::min(rows, shape.rows - i * rows), shape.cols});
  });
}

Matrix<float> read_all(const RowSource& source) {
  const Shape shape = source.shape();
  Matrix<float> x = Matrix<float>::uninitialized(shape.rows, shape.cols);
  for_row_panels(shape, 1, [&](const Rect& at) { source.read_rows(at.row, x.view().sub(at)); });
  return x;
}

std::unique_ptr<BoundRecipe> fit_chain(const Chain& chain, size_t stage, Matrix<float>& x, const FitContext& ctx) {
  const Shape shape = x.shape();
  const Stage& s = chain.stages[stage];
  if (stage == num_transforms(chain)) {
    auto quantizer = quantizer_fit(*find_quantizer(s.name))(s.params, x.view(), ctx);
    auto leaf = std::make_unique<LeafNode>(shape, chain, std::move(quantizer));
    if (stage > 0) x = Matrix<float>();  // before the symbols are allocated
    leaf->allocate_symbols();
    return leaf;
  }
  const TransformEntry* entry = find_transform(s.name);
  std::unique_ptr<Transform> transform = transform_fit(*entry)(s.params, x.view(), ctx);
  const Rect all{0, 0, shape.rows, shape.cols};
  const Granule granule = transform->granule();
  std::vector<std::unique_ptr<BoundRecipe>> children;
  if (entry->planes.empty() && transform->plane_rect(0, all) == all) {
    for_row_panels(shape, granule.rows, [&](const Rect& at) {
      const MatrixView<float> view = x.view().sub(at);
      transform->forward(at, view, {&view, 1});
    });
    children.push_back(fit_chain(chain, stage + 1, x, ctx));
  } else {
    const size_t count = std::max<size_t>(1, entry->planes.size());
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
        children.push_back(fit_chain(chain, stage + 1, planes[i], ctx));
      } else {
        const std::vector<MatrixView<const float>> decoded(views.begin(), views.begin() + static_cast<ptrdiff_t>(i));
        transform->refine(all, i, decoded, views[i]);
        children.push_back(fit_recipe(chain.branches[i].recipe, MatrixSource(views[i]), ctx));
        if (transform->traits().refines) {
          children.back()->quantize(transform->plane_rect(i, all), views[i]);
        } else {
          planes[i] = Matrix<float>();
        }
      }
    }
  }
  return std::make_unique<TransformNode>(shape, s.name, entry->planes, std::move(transform), std::move(children));
}

}  // namespace

std::unique_ptr<BoundRecipe> fit_recipe(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                                        Matrix<float>* values) {
  if (recipe.terms.size() == 1) {
    Matrix<float> x = read_all(source);
    auto bound = fit_chain(recipe.terms[0], 0, x, ctx);
    if (values != nullptr) *values = std::move(x);  // empty once a transform went over it
    return bound;
  }
  Matrix<float> residual = read_all(source);
  std::vector<std::unique_ptr<BoundRecipe>> terms;
  for (const Chain& chain : recipe.terms) {
    Matrix<float> x = residual.clone();
    terms.push_back(fit_chain(chain, 0, x, ctx));
    if (&chain == &recipe.terms.back()) break;  // nothing is fitted to what it leaves over
    x = Matrix<float>();
    BoundRecipe& term = *terms.back();
    for_row_panels(residual.shape(), term.granule().rows, [&](const Rect& at) {
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
