// Makes operators of the tree of a recipe. How a node is computed follows from its traits. M is the matrix that a node
// decodes to, W = M or (transposed) W = M^T, and y = W x:
//
//   integers           make_fused
//   maps_rows          M = Y A, the map A along rows:       y = Y (A x);           transposed  y = A^T (Y^T x)
//   maps_columns       M = N Y, the map N down columns:     y = N (Y x);           transposed  y = Y^T (N^T x)
//     of several planes, Y = [Y_0; Y_1; ...]: their outputs below each other, or the sum over parts of the inputs
//   product            M = L R:                             y = L (R x);           transposed  y = R^T (L^T x)
//   sum                M = M_0 + M_1 + ...:                 y = M_0 x + M_1 x + ...
//   sum of parts       M = sum_i P_i T_i^T of a quantizer:  y = [P_0 | P_1 | ...] [T_0^T x; T_1^T x; ...], parts
//   decoded
//                      a tile at a time; for few inputs, as M would cost a transform for every row
//   anything else      decoded a tile at a time and multiplied in f32
//
// A and N are inverse() of the transform and their transposes are adjoint(), so that a transform costs as much per
// input as for one row: O(n log n) for the fast ones.
#include "operators/tree.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "operators/dense.h"
#include "operators/dense_kernels.h"
#include "operators/fused.h"
#include "recipe/nodes.h"
#include "simd/panel.h"

namespace occ {
namespace {

constexpr size_t kInputsAtOnce = 16;
constexpr size_t kInputsOfParts = 32;  // for more, twice the products cost more than a transform a row

Matrix<float> matrix(size_t rows, size_t cols) { return Matrix<float>::uninitialized(rows, cols); }

Matrix<float> turned(MatrixView<const float> x) {
  Matrix<float> y = matrix(x.cols(), x.rows());
  if (x.size() != 0) transpose(x, y.view());
  return y;
}

void copy_rows(MatrixView<const float> from, MatrixView<float> to) {
  for (size_t r = 0; r < from.rows() && from.cols() != 0; ++r) std::copy_n(from.row(r), from.cols(), to.row(r));
}

std::vector<uint32_t> all_rows(const Operator& op) {
  std::vector<uint32_t> ids(op.shape().rows);
  std::iota(ids.begin(), ids.end(), 0u);
  return ids;
}

Matrix<float> rows_of(const Operator& op, std::span<const uint32_t> ids) {
  Matrix<float> out = matrix(ids.size(), op.shape().cols);
  op.rows(ids, out.view());
  return out;
}

std::string joined_kinds(const std::vector<std::unique_ptr<Operator>>& operators, const std::string& between) {
  std::string text;
  for (const auto& op : operators) text += (text.empty() ? "" : between) + op->kind();
  return text;
}

uint64_t sum_of_bytes(const std::vector<std::unique_ptr<Operator>>& operators) {
  uint64_t bytes = 0;
  for (const auto& op : operators) bytes += op->resident_bytes();
  return bytes;
}

// A transform over its planes.
class TransformOperator final : public Operator {
 public:
  // coded: the shape of M.
  TransformOperator(Shape coded, std::unique_ptr<Transform> transform, std::vector<std::unique_ptr<Operator>> planes,
                    bool transposed)
      : coded_(coded), transform_(std::move(transform)), planes_(std::move(planes)), transposed_(transposed) {}

  Shape shape() const override { return transposed_ ? Shape{coded_.cols, coded_.rows} : coded_; }

  // Some inputs at a time: as many tasks as there are groups of them.
  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    on_inputs() ? apply_to_inputs(x, y) : apply_to_outputs(x, y);
  }

  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    if (on_inputs()) {  // rows of W are rows of the only plane, mapped; or of all of them, side by side
      map_back(out, [&](size_t i) { return rows_of(*planes_[i], ids); });
      return;
    }
    if (!transposed_ && transform_->traits().row_local) {
      for (size_t i = 0; i < ids.size(); ++i) decode_row(ids[i], out.row_range(i, 1));
      return;
    }
    // Every row depends on all.
    const Matrix<float> all = transposed_ ? turned(decode().view()) : decode();
    for (size_t i = 0; i < ids.size(); ++i) std::copy_n(all.row(ids[i]), all.cols(), out.row(i));
  }

  uint64_t resident_bytes() const override { return sum_of_bytes(planes_) + transform_->resident_bytes(); }
  std::string kind() const override {
    const std::string kinds = joined_kinds(planes_, " | ");
    return kinds.ends_with(", rotated") ? kinds : kinds + ", rotated";
  }

 private:
  // Whether the map is one of the inputs of W.
  bool on_inputs() const { return transform_->traits().maps_rows != transposed_; }
  bool by_rows() const { return transform_->traits().maps_rows; }

  // Rectangles of `count` vectors: as rows of M, or as columns.
  Rect vectors(size_t count) const {
    return by_rows() ? Rect{0, 0, count, coded_.cols} : Rect{0, 0, coded_.rows, count};
  }

  // z_i = part i of the adjoint of x [n, ...], a vector per row.
  std::vector<Matrix<float>> adjoint(MatrixView<const float> x) const {
    const Rect at = vectors(x.rows());
    std::vector<Matrix<float>> parts;
    std::vector<MatrixView<float>> views;
    for (size_t i = 0; i < planes_.size(); ++i) {
      const Rect r = transform_->plane_rect(i, at);
      parts.push_back(matrix(r.rows, r.cols));
      views.push_back(parts.back().view());
    }
    if (by_rows()) {
      transform_->adjoint(at, x, views);
      return parts;
    }
    transform_->adjoint(at, turned(x).view(), views);
    for (Matrix<float>& part : parts) part = turned(part.view());
    return parts;
  }

  // The inverse of parts z_i [n, ...], a vector per row, into out [n, ...].
  void inverse(const std::vector<MatrixView<const float>>& parts, MatrixView<float> out) const {
    const Rect at = vectors(out.rows());
    if (by_rows()) return transform_->inverse(at, parts, out);
    std::vector<Matrix<float>> columns;
    std::vector<MatrixView<const float>> views;
    for (const auto& part : parts) {
      columns.push_back(turned(part));
      views.push_back(columns.back().view());
    }
    Matrix<float> result = matrix(at.rows, at.cols);
    transform_->inverse(at, views, result.view());
    if (result.size() != 0) transpose(result.view(), out);
  }

  template <typename Body>
  static void by_inputs(size_t count, const Body& body) {
    parallel_for(ceil_div(count, kInputsAtOnce), [&](size_t i) {
      const size_t first = i * kInputsAtOnce;
      body(first, std::min(kInputsAtOnce, count - first));
    });
  }

  void apply_to_inputs(MatrixView<const float> x, MatrixView<float> y) const {
    std::vector<Matrix<float>> z;
    for (const auto& plane : planes_) z.push_back(matrix(x.rows(), plane->shape().cols));
    by_inputs(x.rows(), [&](size_t first, size_t count) {
      const std::vector<Matrix<float>> parts = adjoint(x.row_range(first, count));
      for (size_t i = 0; i < parts.size(); ++i) copy_rows(parts[i].view(), z[i].view().row_range(first, count));
    });
    planes_[0]->apply(z[0].view(), y);
    for (size_t i = 1; i < planes_.size(); ++i) add_product(*planes_[i], z[i].view(), y);
  }

  void apply_to_outputs(MatrixView<const float> x, MatrixView<float> y) const {
    std::vector<Matrix<float>> z;
    for (const auto& plane : planes_) {
      z.push_back(matrix(x.rows(), plane->shape().rows));
      plane->apply(x, z.back().view());
    }
    by_inputs(x.rows(), [&](size_t first, size_t count) {
      std::vector<MatrixView<const float>> parts;
      for (const Matrix<float>& part : z) parts.push_back(part.view().row_range(first, count));
      inverse(parts, y.row_range(first, count));
    });
  }

  static void add_product(const Operator& op, MatrixView<const float> x, MatrixView<float> y) {
    Matrix<float> more = matrix(y.rows(), y.cols());
    op.apply(x, more.view());
    for (size_t r = 0; r < y.rows(); ++r) {
      for (size_t c = 0; c < y.cols(); ++c) y(r, c) += more(r, c);
    }
  }

  // out = inverse of the parts that part(i) gives.
  template <typename Part>
  void map_back(MatrixView<float> out, const Part& part) const {
    std::vector<Matrix<float>> parts;
    std::vector<MatrixView<const float>> views;
    for (size_t i = 0; i < planes_.size(); ++i) {
      parts.push_back(part(i));
      views.push_back(parts.back().view());
    }
    inverse(views, out);
  }

  // Row `row` of M, where it depends on no other.
  void decode_row(uint32_t row, MatrixView<float> out) const {
    const Rect at{row, 0, 1, coded_.cols};
    std::vector<Matrix<float>> parts;
    std::vector<MatrixView<const float>> views;
    for (size_t i = 0; i < planes_.size(); ++i) {
      const Rect r = transform_->plane_rect(i, at);
      std::vector<uint32_t> ids(r.rows);
      std::iota(ids.begin(), ids.end(), static_cast<uint32_t>(r.row));
      parts.push_back(rows_of(*planes_[i], ids));
      views.push_back(parts.back().view());
    }
    transform_->inverse(at, views, out);
  }

  // M. The planes give rows of Y, or of Y^T.
  Matrix<float> decode() const {
    std::vector<Matrix<float>> parts;
    std::vector<MatrixView<const float>> views;
    for (const auto& plane : planes_) {
      Matrix<float> values = rows_of(*plane, all_rows(*plane));
      parts.push_back(transposed_ ? turned(values.view()) : std::move(values));
      views.push_back(parts.back().view());
    }
    Matrix<float> out = matrix(coded_.rows, coded_.cols);
    transform_->inverse({0, 0, coded_.rows, coded_.cols}, views, out.view());
    return out;
  }

  Shape coded_;
  std::unique_ptr<Transform> transform_;
  std::vector<std::unique_ptr<Operator>> planes_;
  bool transposed_;
};

class SumOperator final : public Operator {
 public:
  explicit SumOperator(std::vector<std::unique_ptr<Operator>> terms) : terms_(std::move(terms)) {}
  Shape shape() const override { return terms_[0]->shape(); }
  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    sum(y, [&](const Operator& op, MatrixView<float> out) { op.apply(x, out); });
  }
  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    sum(out, [&](const Operator& op, MatrixView<float> to) { op.rows(ids, to); });
  }
  uint64_t resident_bytes() const override { return sum_of_bytes(terms_); }
  std::string kind() const override { return joined_kinds(terms_, " + "); }

 private:
  template <typename Body>
  void sum(MatrixView<float> out, const Body& body) const {
    body(*terms_[0], out);
    Matrix<float> more = matrix(out.rows(), out.cols());
    for (size_t i = 1; i < terms_.size(); ++i) {
      body(*terms_[i], more.view());
      for (size_t r = 0; r < out.rows(); ++r) {
        for (size_t c = 0; c < out.cols(); ++c) out(r, c) += more(r, c);
      }
    }
  }

  std::vector<std::unique_ptr<Operator>> terms_;
};

// W = left right.
class ProductOperator final : public Operator {
 public:
  ProductOperator(std::unique_ptr<Operator> left, std::unique_ptr<Operator> right) {
    factors_.push_back(std::move(left));
    factors_.push_back(std::move(right));
  }
  Shape shape() const override { return {factors_[0]->shape().rows, factors_[1]->shape().cols}; }
  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    Matrix<float> between = matrix(x.rows(), factors_[1]->shape().rows);
    factors_[1]->apply(x, between.view());
    factors_[0]->apply(between.view(), y);
  }
  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    const Matrix<float> left = rows_of(*factors_[0], ids);
    const Matrix<float> right = turned(rows_of(*factors_[1], all_rows(*factors_[1])).view());
    dense_product(DenseView(right.view()), left.view(), out);
  }
  uint64_t resident_bytes() const override { return sum_of_bytes(factors_); }
  std::string kind() const override { return joined_kinds(factors_, " x "); }

 private:
  std::vector<std::unique_ptr<Operator>> factors_;
};

// Rows are decoded whenever they are needed.
class DecodedOperator final : public Operator {
 public:
  // bytes: those of the archive that it is the first to need.
  DecodedOperator(std::unique_ptr<BoundRecipe> recipe, std::shared_ptr<const Bytes> blob, uint64_t bytes,
                  bool transposed)
      : blob_(std::move(blob)), recipe_(std::move(recipe)), bytes_(bytes), transposed_(transposed) {
    panel_ = decoding_rows(*recipe_);
  }
  Shape shape() const override {
    const Shape coded = recipe_->shape();
    return transposed_ ? Shape{coded.cols, coded.rows} : coded;
  }
  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    if (!transposed_ && recipe_->part_count() > 1 && x.rows() <= kInputsOfParts) {
      Matrix<float> z = matrix(x.rows(), recipe_->part_count() * x.cols());
      recipe_->part_inputs(x, z.view());
      parallel_for(ceil_div(y.cols(), panel_), [&](size_t i) {
        const size_t row = i * panel_, rows = std::min(panel_, y.cols() - row);
        Matrix<float> w = matrix(rows, z.cols());
        recipe_->parts({row, 0, rows, x.cols()}, w.view());
        dense_product(DenseView(w.view()), z.view(), y.sub({0, row, y.rows(), rows}));
      });
      return;
    }
    if (!transposed_) {
      for_each_panel([&](size_t row, MatrixView<const float> w) {
        dense_product(DenseView(w), x, y.sub({0, row, y.rows(), w.rows()}));
      });
      return;
    }
    for (size_t b = 0; b < y.rows(); ++b) std::fill_n(y.row(b), y.cols(), 0.0f);
    for (size_t row = 0; row < recipe_->shape().rows; row += panel_) {
      const Matrix<float> w = turned(decode(row).view());
      dense_product(DenseView(w.view()), x.sub({0, row, x.rows(), w.cols()}), y, true);
    }
  }
  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    if (transposed_) {
      for_each_panel([&](size_t row, MatrixView<const float> w) {
        for (size_t i = 0; i < ids.size(); ++i) {
          for (size_t r = 0; r < w.rows(); ++r) out(i, row + r) = w(r, ids[i]);
        }
      });
      return;
    }
    std::vector<std::vector<size_t>> wanted(ceil_div(recipe_->shape().rows, panel_));
    for (size_t i = 0; i < ids.size(); ++i) wanted[ids[i] / panel_].push_back(i);
    parallel_for(wanted.size(), [&](size_t p) {
      if (wanted[p].empty()) return;
      const Matrix<float> w = decode(p * panel_);
      for (const size_t i : wanted[p]) std::copy_n(w.row(ids[i] - p * panel_), w.cols(), out.row(i));
    });
  }
  uint64_t resident_bytes() const override { return bytes_; }
  std::string kind() const override { return "decoded by tile"; }

 private:
  Matrix<float> decode(size_t row) const {
    const Shape coded = recipe_->shape();
    Matrix<float> w = matrix(std::min(panel_, coded.rows - row), coded.cols);
    recipe_->dequantize({row, 0, w.rows(), w.cols()}, w.view());
    return w;
  }
  template <typename Body>
  void for_each_panel(const Body& body) const {
    parallel_for(ceil_div(recipe_->shape().rows, panel_),
                 [&](size_t i) { body(i * panel_, decode(i * panel_).view()); });
  }

  std::shared_ptr<const Bytes> blob_;
  std::unique_ptr<BoundRecipe> recipe_;
  uint64_t bytes_;
  bool transposed_;
  size_t panel_ = 1;
};

struct Maker {
  const std::shared_ptr<const Bytes>& blob;
  const bool transposed;
  bool blob_counted = false;

  std::vector<std::unique_ptr<Operator>> make_all(std::vector<std::unique_ptr<BoundRecipe>> nodes) {
    std::vector<std::unique_ptr<Operator>> operators;
    for (auto& node : nodes) operators.push_back(make(std::move(node)));
    return operators;
  }

  std::unique_ptr<Operator> make(std::unique_ptr<BoundRecipe> recipe) {
    if (auto fused = make_fused(*recipe, transposed)) return fused;
    if (auto* sum = dynamic_cast<SumNode*>(recipe.get())) {
      return std::make_unique<SumOperator>(make_all(sum->take_terms()));
    }
    if (auto* node = dynamic_cast<TransformNode*>(recipe.get())) {
      const TransformTraits traits = node->transform().traits();
      if (traits.product) {
        auto factors = make_all(node->take_children());
        if (transposed) std::swap(factors[0], factors[1]);
        return std::make_unique<ProductOperator>(std::move(factors[0]), std::move(factors[1]));
      }
      if (traits.maps_rows || traits.maps_columns) {
        const Shape shape = recipe->shape();
        auto planes = make_all(node->take_children());
        return std::make_unique<TransformOperator>(shape, node->take_transform(), std::move(planes), transposed);
      }
    }
    const uint64_t bytes = blob_counted || blob == nullptr ? 0 : blob->size();
    blob_counted = true;
    return std::make_unique<DecodedOperator>(std::move(recipe), blob, bytes, transposed);
  }
};

}  // namespace

std::unique_ptr<Operator> make_tree(std::unique_ptr<BoundRecipe> recipe, const std::shared_ptr<const Bytes>& blob,
                                    bool transposed) {
  return Maker{blob, transposed}.make(std::move(recipe));
}

}  // namespace occ
