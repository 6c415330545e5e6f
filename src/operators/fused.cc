// Operators for decoded values of the form (integer - zero) * row factor * column factor, or with a factor and a zero
// for every row and group of columns. The integers stay packed (packed_integers.h), and
//
//   q  =  x times the column factors, in blocks of 256 columns as int8 with one scale for each block
//   y  =  row factor * sum over blocks of scale * (integers . q  -  zero * sum q)
//
// so that all multiplications of the inner loops are products of bytes. The only error is the rounding of q, that of a
// uniform quantizer with the step max |x| / 127 in each block: about 0.7 % of the norm for Gaussian activations.
// Activations far beyond the others of their block are not part of q but multiplied in f32, so that they do not make
// the steps of the others larger.
#include "operators/fused.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "operators/dense_kernels.h"
#include "operators/packed_integers.h"

namespace occ {
namespace {

constexpr size_t kGroupsPerCell = kCellColumns / kGroupColumns;
constexpr size_t kMostInputs = 256;  // at once

// What stands beside the integers of W [rows, cols].
struct Factors {
  std::vector<float> rows, columns;  // or empty: ones
  std::vector<float> zeros;          // [rows], or empty: common_zero
  float common_zero = 0;
  // Or a factor and a zero for every row and `group` columns: then `rows` and `zeros` are empty.
  size_t group = 0, per_row = 0;
  Matrix<float> groups;    // [rows + 1, per_row]: readable beyond the last
  Matrix<float> products;  // factor * -zero, or empty: common_zero
};

bool whole_segments(size_t group) {
  return group % kCellColumns == 0 || (group % kGroupColumns == 0 && kCellColumns % group == 0);
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
    f.groups = Matrix<float>(shape.rows + kGroupsPerCell, f.per_row);
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

struct CellOutlier {
  uint32_t col, input;  // the column in the cell
  float value;
};

// A batch of inputs in int8.
struct Inputs {
  size_t count, blocks;                            // of 256 columns
  Matrix<int8_t> q;                                // [count, blocks * 256]
  std::vector<float> scales;                       // [count, blocks]
  std::vector<float> sums;                         // [count, cells] of q
  Matrix<float> segments;                          // [count, per_row]: scale * sum of q by group of factors
  std::vector<std::vector<CellOutlier>> outliers;  // [cells], by column: exact, not in q
};

class FusedOperator final : public Operator {
 public:
  FusedOperator(std::unique_ptr<PackedIntegers> integers, Factors factors, size_t states)
      : integers_(std::move(integers)), factors_(std::move(factors)), states_(states) {}

  Shape shape() const override { return integers_->shape(); }

  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    OCC_CHECK(x.cols() == shape().cols && y.cols() == shape().rows && x.rows() == y.rows());
    for (size_t b = 0; b < x.rows(); b += kMostInputs) {
      const size_t count = std::min(kMostInputs, x.rows() - b);
      const Inputs in = quantize(x.row_range(b, count));
      const MatrixView<float> out = y.row_range(b, count);
      parallel_for(integers_->panels(), [&](size_t panel) { apply_panel(panel, in, out); });
    }
  }

  void rows(std::span<const uint32_t> ids, MatrixView<float> out) const override {
    OCC_CHECK(out.rows() == ids.size() && out.cols() == shape().cols);
    parallel_for(ids.size(), [&](size_t i) { decode_row(ids[i], out.row(i)); });
  }

  uint64_t resident_bytes() const override {
    return integers_->resident_bytes() +
           sizeof(float) * (factors_.rows.size() + factors_.columns.size() + factors_.zeros.size() +
                            factors_.groups.size() + factors_.products.size());
  }
  std::string kind() const override {
    const std::string bits = fmt::format("int8: {:.2f}-bit codes", integers_->mean_bits());
    if (states_ != 0) return fmt::format("{}, {} states", bits, states_);
    return factors_.group != 0 ? fmt::format("{}, groups of {}", bits, factors_.group) : bits;
  }

 private:
  Inputs quantize(MatrixView<const float> x) const {
    Inputs in;
    in.count = x.rows();
    in.blocks = ceil_div(x.cols(), kCellColumns);
    in.q = Matrix<int8_t>::uninitialized(in.count, in.blocks * kCellColumns);
    in.scales.resize(in.count * in.blocks);
    in.sums.resize(in.count * integers_->cells());
    in.segments = Matrix<float>(in.count, factors_.per_row);
    std::vector<std::vector<Outlier>> outliers(in.count);
    parallel_for(in.count, [&](size_t b) {
      std::vector<int32_t> sums(in.blocks * kGroupsPerCell);
      float* scales = &in.scales[b * in.blocks];
      const float* factors = factors_.columns.empty() ? nullptr : factors_.columns.data();
      quantize_activations(x.row(b), factors, x.cols(), in.q.row(b), scales, sums.data(), &outliers[b]);
      for (size_t i = 0; i < integers_->cells(); ++i) {
        const auto first = sums.begin() + static_cast<ptrdiff_t>(integers_->first_column(i) / kGroupColumns);
        const int32_t sum = std::accumulate(first, first + static_cast<ptrdiff_t>(integers_->groups(i)), 0);
        in.sums[b * integers_->cells() + i] = static_cast<float>(sum);
      }
      const float sign = factors_.products.size() != 0 ? 1 : -factors_.common_zero;
      for (size_t g = 0; g * kGroupColumns < x.cols() && factors_.group != 0; ++g) {
        in.segments(b, g * kGroupColumns / factors_.group) +=
            sign * scales[g / kGroupsPerCell] * static_cast<float>(sums[g]);
      }
      for (const Outlier& o : outliers[b]) {
        if (factors_.group != 0) in.segments(b, o.col / factors_.group) += sign * o.value;
      }
    });
    in.outliers.resize(integers_->cells());
    for (size_t b = 0; b < in.count; ++b) {
      for (const Outlier& o : outliers[b]) {
        size_t cell = o.col / kCellColumns;
        while (o.col >= integers_->first_column(cell) + integers_->columns(cell)) ++cell;
        const size_t col = o.col - integers_->first_column(cell);
        in.outliers[cell].push_back({static_cast<uint32_t>(col), static_cast<uint32_t>(b), o.value});
      }
    }
    for (auto& list : in.outliers) {
      std::sort(list.begin(), list.end(), [](const CellOutlier& i, const CellOutlier& j) {
        return i.col != j.col ? i.col < j.col : i.input < j.input;
      });
    }
    return in;
  }

  void apply_panel(size_t panel, const Inputs& in, MatrixView<float> out) const {
    const size_t row = integers_->first_row(panel), rows = integers_->panel_rows(panel);
    // Kept by the thread. Rows are read by fours, so beyond the last something must be there.
    alignas(64) thread_local uint8_t k[kCellRows * kCellColumns];
    thread_local std::vector<float> sums;
    sums.assign(in.count * kCellRows, 0.0f);
    const MatrixView<float> y(sums.data(), in.count, kCellRows);
    if (factors_.group != 0) {
      const bool own = factors_.products.size() != 0;
      const DenseView all((own ? factors_.products : factors_.groups).view());
      dense_panel(all.row_range(row, rows), in.segments.view(), y.sub({0, 0, in.count, rows}));
    }
    for (size_t cell = 0; cell < integers_->cells(); ++cell) {
      const size_t col = integers_->first_column(cell), block = col / kCellColumns;
      integers_->unpack(panel, cell, rows, k);
      CellDots dots;
      dots.k = k;
      dots.rows = rows;
      dots.groups = integers_->groups(cell);
      dots.most = integers_->most(panel, cell);
      dots.batch = in.count;
      dots.x = in.q.data() + col;
      dots.x_stride = in.q.cols();
      dots.scales = &in.scales[block];
      dots.scale_stride = in.blocks;
      dots.y = y.data();
      if (factors_.group != 0) {
        const float* factors = factors_.groups.row(row) + col / factors_.group;
        const size_t groups = std::min(factors_.group / kGroupColumns, dots.groups);
        cell_dots_by_segment(dots, groups, factors, factors_.per_row);
        const auto fill = [&](size_t c, float* column) {
          const float* factor = factors_.groups.row(row) + (col + c) / factors_.group;
          for (size_t r = 0; r < rows; ++r) {
            column[r] = factor[r * factors_.per_row] * static_cast<float>(k[r * kCellColumns + c]);
          }
        };
        add_outliers(in.outliers[cell], fill, y);
        continue;
      }
      float base[kCellRows];
      for (size_t r = 0; r < kCellRows; ++r) base[r] = base_of(panel, cell, std::min(r, rows - 1));
      cell_dots(dots, base, &in.sums[cell], integers_->cells());
      const std::span<const uint32_t> escapes = integers_->escapes(panel, cell);
      for (size_t b = 0; b < in.count; ++b) {
        const int8_t* q = in.q.row(b) + col;
        for (const uint32_t e : escapes) {
          const auto escape = PackedIntegers::unpack_escape(e);
          y(b, escape.row) += in.scales[b * in.blocks + block] * static_cast<float>(escape.delta * q[escape.col]);
        }
      }
      const auto fill = [&](size_t c, float* column) {
        for (size_t r = 0; r < rows; ++r) column[r] = static_cast<float>(k[r * kCellColumns + c]) + base[r];
        for (const uint32_t e : escapes) {
          const auto escape = PackedIntegers::unpack_escape(e);
          if (escape.col == c) column[escape.row] += static_cast<float>(escape.delta);
        }
      };
      add_outliers(in.outliers[cell], fill, y);
    }
    for (size_t b = 0; b < in.count; ++b) {
      float* to = out.row(b) + row;
      for (size_t r = 0; r < rows; ++r) to[r] = factors_.rows.empty() ? y(b, r) : y(b, r) * factors_.rows[row + r];
    }
  }

  // The outliers of a cell: fill(column in the cell, W of its rows) once per column.
  template <typename Fill>
  static void add_outliers(const std::vector<CellOutlier>& outliers, const Fill& fill, MatrixView<float> y) {
    float column[kCellRows] = {};
    uint32_t filled = UINT32_MAX;
    for (const CellOutlier& o : outliers) {
      if (o.col != filled) fill(o.col, column);
      filled = o.col;
      float* __restrict to = y.row(o.input);
      for (size_t r = 0; r < kCellRows; ++r) to[r] += o.value * column[r];
    }
  }

  // What is to be added to k'.
  float base_of(size_t panel, size_t cell, size_t r) const {
    const float zero = factors_.zeros.empty() ? factors_.common_zero : factors_.zeros[integers_->first_row(panel) + r];
    return static_cast<float>(integers_->base(panel, cell)) - zero;
  }

  void decode_row(size_t row, float* out) const {
    OCC_CHECK(row < shape().rows);
    const size_t panel = integers_->panel_of(row), r = row - integers_->first_row(panel);
    alignas(64) uint8_t k[kCellRows * kCellColumns];
    for (size_t cell = 0; cell < integers_->cells(); ++cell) {
      const size_t col = integers_->first_column(cell), cols = integers_->columns(cell);
      const uint8_t* codes = integers_->unpack_row(panel, cell, r, k);
      if (factors_.group != 0) {
        for (size_t c = 0; c < cols; ++c) {
          const size_t g = (col + c) / factors_.group;
          const float factor = factors_.groups(row, g);
          const float zero = factors_.products.size() != 0 ? factors_.products(row, g) : -factors_.common_zero * factor;
          out[col + c] = static_cast<float>(codes[c]) * factor + zero;
        }
        continue;
      }
      const float base = base_of(panel, cell, r), factor = factors_.rows.empty() ? 1 : factors_.rows[row];
      for (size_t c = 0; c < cols; ++c) out[col + c] = static_cast<float>(codes[c]) + base;
      for (const uint32_t e : integers_->escapes(panel, cell)) {
        const auto escape = PackedIntegers::unpack_escape(e);
        if (escape.row == r) out[col + escape.col] += static_cast<float>(escape.delta);
      }
      for (size_t c = 0; c < cols; ++c) {
        out[col + c] *= factors_.columns.empty() ? factor : factor * factors_.columns[col + c];
      }
    }
  }

  std::unique_ptr<PackedIntegers> integers_;
  Factors factors_;
  size_t states_;
};

}  // namespace

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
    recipe.symbols_by_rows(rows, kCellRows, body);
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
    source.tile_rows = kCellRows;
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
  return std::make_unique<FusedOperator>(std::move(integers), std::move(*factors),
                                         source.machine == nullptr ? 0 : source.machine->num_states);
}

}  // namespace occ
