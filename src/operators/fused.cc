// Operators for decoded values of the form (integer - zero) * row factor * column factor, or with a factor and a zero
// for every row and group of columns: integer_weight.h has their products.
#include "operators/fused.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "operators/integer_weight.h"
#include "operators/together.h"
#include "simd/simd.h"

namespace occ {
namespace {

bool whole_segments(size_t group) {
  return group % kBlockColumns == 0 || (group % kSegmentColumns == 0 && kBlockColumns % group == 0);
}

std::optional<Factors> factors_of(const IntegerView& view, Shape shape, bool transposed) {
  Factors f;
  f.common_zero = view.common_zero;
  f.columns.assign(view.column_factors.begin(), view.column_factors.end());
  if (shape.size() == 0) return std::nullopt;
  const bool by_column = !view.factors.empty() && view.row_step == 0 && view.group == 1;
  if (by_column) {
    if (!view.zeros.empty() || !f.columns.empty()) return std::nullopt;
    f.columns.assign(view.factors.begin(), view.factors.end());
  } else if (!view.factors.empty() && view.group >= shape.cols) {
    for (size_t r = 0; r < shape.rows; ++r) {
      f.rows.push_back(view.factors[r * view.row_step]);
      if (!view.zeros.empty()) f.zeros.push_back(view.zeros[r * view.row_step]);
    }
  } else if (!view.factors.empty()) {
    if (!whole_segments(view.group) || transposed) return std::nullopt;
    f.group = view.group;
    f.per_row = view.row_step;
    f.groups = Matrix<float>(shape.rows + kBlockColumns / kSegmentColumns, f.per_row);
    std::copy(view.factors.begin(), view.factors.end(), f.groups.data());
    if (!view.zeros.empty()) {
      f.products = Matrix<float>(shape.rows, f.per_row);
      for (size_t i = 0; i < view.zeros.size(); ++i) f.products.data()[i] = -view.zeros[i] * view.factors[i];
    }
  } else if (!view.zeros.empty()) {
    return std::nullopt;
  }
  if (transposed) {
    if (!f.zeros.empty()) return std::nullopt;
    std::swap(f.rows, f.columns);
  }
  return f;
}

class FusedOperator final : public Operator {
 public:
  FusedOperator(IntegerWeight weight, size_t states) : weight_(std::move(weight)), states_(states) {}

  Shape shape() const override { return weight_.integers->shape(); }

  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    OCC_CHECK(x.cols() == shape().cols && y.cols() == shape().rows && x.rows() == y.rows());
    if (weight_.factors.group != 0) return multiply_grouped(weight_, x, y);
    if (!by_strips(x.rows())) return multiply_tiles(weight_, x, y);
    const WeightProduct product{&weight_, y};
    multiply_strips({&product, 1}, x);
  }
  // Whether so many inputs are multiplied by strips.
  bool by_strips(size_t inputs) const { return weight_.factors.group == 0 && (inputs < kInputsOfTiles || !use_vnni()); }
  const IntegerWeight& weight() const { return weight_; }

  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    OCC_CHECK(out.rows() == ids.size() && out.cols() == shape().cols);
    parallel_for(ids.size(), [&](size_t i) { decode_row(ids[i], out.row(i)); });
  }

  uint64_t resident_bytes() const override {
    const Factors& f = weight_.factors;
    return weight_.integers->resident_bytes() +
           sizeof(float) * (f.rows.size() + f.columns.size() + f.zeros.size() + f.groups.size() + f.products.size());
  }
  std::string kind() const override {
    const std::string bits = fmt::format("int8: {:.2f}-bit codes", weight_.integers->mean_bits());
    if (states_ != 0) return fmt::format("{}, {} states", bits, states_);
    return weight_.factors.group != 0 ? fmt::format("{}, groups of {}", bits, weight_.factors.group) : bits;
  }

 private:
  void decode_row(size_t row, float* out) const {
    OCC_CHECK(row < shape().rows);
    const PackedIntegers& integers = *weight_.integers;
    const Factors& factors = weight_.factors;
    const size_t panel = integers.panel_of(row), r = row - integers.first_row(panel);
    alignas(64) uint8_t lanes[kStripColumns];
    for (size_t s = 0; s < integers.strips(); ++s) {
      const size_t col = integers.first_column(s), cols = integers.columns(s);
      const uint8_t* codes = integers.unpack_row(panel, s, r, lanes);
      if (factors.group != 0) {
        for (size_t c = 0; c < cols; ++c) {
          const size_t g = (col + c) / factors.group;
          const float factor = factors.groups(row, g);
          const float zero = factors.products.size() != 0 ? factors.products(row, g) : -factors.common_zero * factor;
          out[col + c] = static_cast<float>(codes[c]) * factor + zero;
        }
        continue;
      }
      const float zero = factors.zeros.empty() ? factors.common_zero : factors.zeros[row];
      const float base = static_cast<float>(integers.base(panel, s)) - zero;
      const float factor = factors.rows.empty() ? 1 : factors.rows[row];
      for (size_t c = 0; c < cols; ++c) out[col + c] = static_cast<float>(codes[c]) + base;
      for (const uint32_t e : integers.escapes(panel, s)) {
        const auto escape = PackedIntegers::unpack_escape(e);
        if (escape.row == r) out[col + escape.col] += static_cast<float>(escape.delta);
      }
      for (size_t c = 0; c < cols; ++c) {
        out[col + c] *= factors.columns.empty() ? factor : factor * factors.columns[col + c];
      }
    }
  }

  IntegerWeight weight_;
  size_t states_;
};

}  // namespace

void apply_together(MatrixView<const float> x, std::span<const Product> products) {
  std::vector<WeightProduct> by_strips;
  for (const Product& p : products) {
    const auto* fused = dynamic_cast<const FusedOperator*>(p.weight);
    if (fused == nullptr || !fused->by_strips(x.rows())) {
      p.weight->apply(x, p.y);
      continue;
    }
    const Shape shape = fused->shape();
    OCC_CHECK(x.cols() == shape.cols && p.y.cols() == shape.rows && x.rows() == p.y.rows());
    by_strips.push_back({&fused->weight(), p.y});
  }
  if (!by_strips.empty()) multiply_strips(by_strips, x);
}

std::unique_ptr<Operator> make_fused(const BoundRecipe& recipe, bool transposed) {
  const std::optional<IntegerView> view = recipe.integer_view();
  if (!view) return nullptr;
  const Shape shape = recipe.shape();
  std::optional<Factors> factors = factors_of(*view, shape, transposed);
  if (!factors) return nullptr;
  PackedIntegers::Source source;
  source.shape = shape;
  source.tile_rows = recipe.tile_rows();
  source.alphabet = view->alphabet;
  const auto read_symbols = [&](const Rect& rows, const SymbolsBody& body) {
    recipe.symbols_by_rows(rows, kPanelRows, body);
  };
  Matrix<int32_t> turned;
  if (transposed) {
    turned = Matrix<int32_t>::uninitialized(shape.cols, shape.rows);
    parallel_for(ceil_div(shape.rows, source.tile_rows), [&](size_t tile) {
      const size_t row = tile * source.tile_rows, rows = std::min(source.tile_rows, shape.rows - row);
      Matrix<int32_t> part = Matrix<int32_t>::uninitialized(rows, shape.cols);
      recipe.integers({row, 0, rows, shape.cols}, part.view());
      for (size_t c = 0; c < shape.cols; ++c) {
        for (size_t r = 0; r < rows; ++r) turned(c, row + r) = part(r, c);
      }
    });
    source.shape = turned.shape();
    source.tile_rows = kPanelRows;
    source.read = [&](const Rect& rows, MatrixView<int32_t> out) {
      std::copy_n(turned.row(rows.row), out.size(), out.data());
    };
  } else if (PackedIntegers::can_carry(view->machine)) {
    OCC_CHECK(view->restart_rows == source.tile_rows || source.tile_rows >= shape.rows);
    source.machine = view->machine;
    source.bias = view->bias;
    source.read_symbols = read_symbols;
  } else if (view->machine == nullptr) {
    source.bias = view->bias;
    source.read_symbols = read_symbols;
  } else {
    source.read = [&](const Rect& rows, MatrixView<int32_t> out) { recipe.integers(rows, out); };
  }
  auto integers = PackedIntegers::pack(source);
  if (integers == nullptr) return nullptr;
  return std::make_unique<FusedOperator>(IntegerWeight{std::move(integers), std::move(*factors)},
                                         source.machine == nullptr ? 0 : source.machine->num_states);
}

}  // namespace occ
