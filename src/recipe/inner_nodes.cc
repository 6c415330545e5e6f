#include <algorithm>
#include <functional>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

size_t combine(size_t a, size_t b) { return a == 0 || b == 0 ? 0 : std::lcm(a, b); }

// Memory for the planes of a transform for one rectangle. If there is a single plane with the shape of the values, it
// uses the memory of the values.
class PlaneBuffers {
 public:
  PlaneBuffers(const Transform& transform, const Rect& at, size_t count, MatrixView<float> values) {
    for (size_t i = 0; i < count; ++i) rects_.push_back(transform.plane_rect(i, at));
    if (count == 1 && rects_[0].shape() == values.shape()) {
      views_.push_back(values);
      return;
    }
    for (const Rect& r : rects_) {
      buffers_.push_back(Matrix<float>::uninitialized(r.rows, r.cols));
      views_.push_back(buffers_.back().view());
    }
  }
  const Rect& rect(size_t i) const { return rects_[i]; }
  const std::vector<MatrixView<float>>& views() const { return views_; }
  std::vector<MatrixView<const float>> const_views() const { return {views_.begin(), views_.end()}; }

 private:
  std::vector<Rect> rects_;
  std::vector<Matrix<float>> buffers_;
  std::vector<MatrixView<float>> views_;
};

}  // namespace

Granule combine(const Granule& a, const Granule& b) { return {combine(a.rows, b.rows), combine(a.cols, b.cols)}; }

bool carries_hessian(const Transform& transform, size_t num_planes, Shape shape) {
  const TransformTraits traits = transform.traits();
  if (!traits.linear || !traits.row_local) return false;
  size_t rows = 0;
  for (size_t i = 0; i < num_planes; ++i) {
    const Rect r = transform.plane_rect(i, {0, 0, shape.rows, shape.cols});
    if (r.cols != shape.cols) return false;
    rows += r.rows;
  }
  return rows == shape.rows;
}

std::string join_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "/" + name;
}

TransformNode::TransformNode(Shape shape, std::string stage_name, std::span<const std::string_view> plane_names,
                             std::unique_ptr<Transform> transform, std::vector<std::unique_ptr<BoundRecipe>> children)
    : shape_(shape),
      stage_name_(std::move(stage_name)),
      plane_names_(plane_names),
      transform_(std::move(transform)),
      children_(std::move(children)) {
  OCC_CHECK(children_.size() == std::max<size_t>(1, plane_names_.size()));
}

// The transform determines which rectangles of x are valid. If a child takes only all rows at once, so does this node.
Granule TransformNode::granule() const {
  Granule g = transform_->granule();
  for (const auto& child : children_) {
    const Granule c = child->granule();
    const Shape s = child->shape();
    g.rows = s == shape_ ? combine(g.rows, c.rows) : (c.rows == 1 ? g.rows : 0);
    g.cols = s.cols == shape_.cols ? combine(g.cols, c.cols) : (c.cols == 1 ? g.cols : 0);
  }
  return g;
}

size_t TransformNode::tile_rows() const {
  size_t rows = 1;
  for (const auto& child : children_) rows = std::max(rows, child->tile_rows());
  return rows;
}

void TransformNode::quantize(const Rect& at, MatrixView<float> values) {
  const PlaneBuffers planes(*transform_, at, children_.size(), values);
  transform_->forward(at, values, planes.views());
  const std::vector<MatrixView<const float>> decoded = planes.const_views();
  std::vector<Matrix<float>> coded;
  if (transform_->traits().settles) {
    for (const auto& plane : decoded) {
      coded.push_back(Matrix<float>::uninitialized(plane.rows(), plane.cols()));
      for (size_t r = 0; r < plane.rows(); ++r) std::copy_n(plane.row(r), plane.cols(), coded.back().row(r));
    }
  }
  for (size_t i = 0; i < children_.size(); ++i) {
    transform_->refine(at, i, std::span(decoded).first(i), planes.views()[i]);
    children_[i]->quantize(planes.rect(i), planes.views()[i]);
  }
  if (!coded.empty()) {
    std::vector<MatrixView<const float>> views;
    for (const Matrix<float>& plane : coded) views.push_back(plane.view());
    transform_->settle(at, views, decoded);
  }
  transform_->inverse(at, decoded, values);
}

void TransformNode::code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) {
  ByteWriter side;
  transform_->save(side);
  planes->push_back({join_path(path, stage_name_), side.take(), transform_->traits().side_grows});
  for (size_t i = 0; i < children_.size(); ++i) {
    const size_t first = planes->size();
    children_[i]->code(ctx, plane_names_.empty() ? path : join_path(path, std::string(plane_names_[i])), planes);
    const Rect no_rows = transform_->plane_rect(i, {0, 0, 0, shape_.cols});
    if (children_[i]->shape().rows != no_rows.rows) continue;
    // The plane has this number of rows for a matrix with any number of rows.
    for (size_t p = first; p < planes->size(); ++p) (*planes)[p].grows = false;
  }
}

void TransformNode::dequantize(const Rect& at, MatrixView<float> out) const {
  const PlaneBuffers planes(*transform_, at, children_.size(), out);
  for (size_t i = 0; i < children_.size(); ++i) children_[i]->dequantize(planes.rect(i), planes.views()[i]);
  transform_->inverse(at, planes.const_views(), out);
}

size_t TransformNode::panel_rows() const {
  size_t rows = 1;
  for (const auto& child : children_) rows = std::max(rows, child->panel_rows());
  return rows;
}

bool TransformNode::weighted_errors(std::span<double> rows) const {
  if (!carries_hessian(*transform_, children_.size(), shape_)) return false;
  size_t first = 0;
  for (const auto& child : children_) {
    if (!child->weighted_errors(rows.subspan(first, child->shape().rows))) return false;
    first += child->shape().rows;
  }
  for (size_t r = 0; r < rows.size(); ++r) rows[r] *= transform_->error_gain(r);
  return true;
}

size_t SumNode::panel_rows() const {
  size_t rows = 1;
  for (const auto& term : terms_) rows = std::max(rows, term->panel_rows());
  return rows;
}

namespace {

// Calls body(rect) in parallel over panels of `at` that suit the granule of a term and are decoded together. Panels are
// cut at the same rows of the matrix for every `at`. A term that needs all rows gets a single panel.
void for_term_panels(const BoundRecipe& term, const Rect& at, const std::function<void(const Rect&)>& body) {
  constexpr size_t kPanelElements = size_t{1} << 18;
  const size_t granule = term.granule().rows;
  if (granule == 0 || at.rows == 0) return body(at);
  const size_t panel = kPanelElements / std::max<size_t>(1, at.cols);
  const size_t rows = ceil_div(std::max({term.tile_rows(), term.panel_rows(), panel}), granule) * granule;
  const size_t first = at.row / rows, end = at.row + at.rows;
  parallel_for(ceil_div(end, rows) - first, [&](size_t i) {
    const size_t begin = std::max(at.row, (first + i) * rows);
    body({begin, at.col, std::min(end, (first + i + 1) * rows) - begin, at.cols});
  });
}

// to(r, c) := op(to(r, c), from(r, c))
template <typename Op>
void combine_rows(MatrixView<float> to, MatrixView<const float> from, const Op& op) {
  for (size_t r = 0; r < to.rows(); ++r) {
    for (size_t c = 0; c < to.cols(); ++c) to(r, c) = op(to(r, c), from(r, c));
  }
}

}  // namespace

Granule SumNode::granule() const {
  Granule g = terms_[0]->granule();
  for (const auto& term : terms_) g = occ::combine(g, term->granule());
  return g;
}

size_t SumNode::tile_rows() const {
  size_t rows = 1;
  for (const auto& term : terms_) rows = std::max(rows, term->tile_rows());
  return rows;
}

// Every term codes the values minus the sum of the terms before it, as they are decoded. The sum begins with +0,
// because the first addition turns -0 into +0. Memory: one matrix besides the values.
void SumNode::quantize(const Rect& at, MatrixView<float> values) {
  Matrix<float> sum = Matrix<float>::uninitialized(at.rows, at.cols);
  const auto local = [&](const Rect& part) { return Rect{part.row - at.row, 0, part.rows, part.cols}; };
  for (size_t i = 0; i < terms_.size(); ++i) {
    for_term_panels(*terms_[i], at, [&](const Rect& part) {
      const MatrixView<float> from = values.sub(local(part)), total = sum.view().sub(local(part));
      if (i == 0) {
        combine_rows(total, from, [](float, float v) { return v; });
        terms_[i]->quantize(part, total);
        combine_rows(total, total, [](float s, float) { return s + 0.0f; });
        return;
      }
      Matrix<float> term = Matrix<float>::uninitialized(part.rows, part.cols);
      combine_rows(term.view(), from, [](float, float v) { return v; });
      combine_rows(term.view(), total, [](float v, float s) { return v - s; });
      terms_[i]->quantize(part, term.view());
      combine_rows(total, term.view(), [](float s, float t) { return s + t; });
    });
  }
  combine_rows(values, sum.view(), [](float, float s) { return s; });
}

void SumNode::code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) {
  for (size_t i = 0; i < terms_.size(); ++i) {
    terms_[i]->code(ctx, join_path(path, "term" + std::to_string(i)), planes);
  }
}

void SumNode::dequantize(const Rect& at, MatrixView<float> out) const {
  for (size_t i = 0; i < terms_.size(); ++i) {
    for_term_panels(*terms_[i], at, [&](const Rect& part) {
      const MatrixView<float> total = out.sub({part.row - at.row, 0, part.rows, part.cols});
      if (i == 0) {
        terms_[i]->dequantize(part, total);
        combine_rows(total, total, [](float s, float) { return s + 0.0f; });
        return;
      }
      Matrix<float> term = Matrix<float>::uninitialized(part.rows, part.cols);
      terms_[i]->dequantize(part, term.view());
      combine_rows(total, term.view(), [](float s, float t) { return s + t; });
    });
  }
}

}  // namespace occ
