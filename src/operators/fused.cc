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
#include "operators/activations.h"
#include "operators/dense_kernels.h"
#include "operators/packed_integers.h"
#include "operators/segment_dots.h"

namespace occ {
namespace {

constexpr size_t kMostInputs = 256;   // at once
constexpr size_t kInputsOfStrip = 8;  // whose sums stay in the first-level cache

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

struct StripOutlier {
  uint32_t col, input;  // the column in the strip
  float value;
};
struct InputLevel {
  uint32_t input;
  OutlierLevel level;
};

// A batch of inputs in int8.
struct Inputs {
  size_t count, blocks;  // of 256 columns
  Matrix<int8_t> q;      // [count, blocks * 256]
  Matrix<float> scales;  // [count, blocks + 1]
  // Without groups of factors:
  Matrix<float> values;                         // [count, cols] in f32, 0 where q's scale is
  Matrix<float> sums;                           // [count, strips + 1] of scale * q, and of all strips
  std::vector<std::vector<InputLevel>> levels;  // [strips] of outliers
  // With groups:
  Matrix<float> segments;                           // [count, per_row]: scale * sum of q by group of factors
  std::vector<std::vector<StripOutlier>> outliers;  // [strips], by column: exact, not in q
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
    in.blocks = ceil_div(integers_->padded_columns(), kBlockColumns);
    in.q = Matrix<int8_t>::uninitialized(in.count, in.blocks * kBlockColumns);
    in.scales = Matrix<float>(in.count, in.blocks + 1);
    const bool grouped = factors_.group != 0;
    if (grouped) {
      in.segments = Matrix<float>(in.count, factors_.per_row);
    } else {
      in.values = Matrix<float>::uninitialized(in.count, x.cols());
      in.sums = Matrix<float>(in.count, integers_->strips() + 1);
    }
    std::vector<std::vector<Outlier>> outliers(in.count);
    std::vector<std::vector<std::pair<size_t, OutlierLevel>>> levels(in.count);  // and their strips
    parallel_for(in.count, [&](size_t b) {
      std::vector<int32_t> sums(in.blocks * kBlockColumns / kSegmentColumns);
      const float* factors = factors_.columns.empty() ? nullptr : factors_.columns.data();
      quantize_activations(x.row(b), factors, x.cols(), in.q.row(b), in.scales.row(b), sums.data(), &outliers[b]);
      std::sort(outliers[b].begin(), outliers[b].end(),
                [](const Outlier& i, const Outlier& j) { return i.col < j.col; });
      grouped ? add_segments(sums, outliers[b], b, &in) : add_strips(x.row(b), outliers[b], b, &in, &levels[b]);
    });
    in.levels.resize(integers_->strips());
    in.outliers.resize(integers_->strips());
    for (size_t b = 0; b < in.count; ++b) {
      const auto input = static_cast<uint32_t>(b);
      for (const auto& [strip, level] : levels[b]) in.levels[strip].push_back({input, level});
      for (const Outlier& o : outliers[b]) {
        const size_t strip = integers_->strip_of(o.col);
        const auto col = static_cast<uint32_t>(o.col - integers_->first_column(strip));
        if (grouped) in.outliers[strip].push_back({col, input, o.value});
      }
    }
    for (auto& list : in.outliers) {
      std::sort(list.begin(), list.end(), [](const StripOutlier& i, const StripOutlier& j) {
        return i.col != j.col ? i.col < j.col : i.input < j.input;
      });
    }
    return in;
  }

  // What zeros of groups are multiplied with.
  void add_segments(const std::vector<int32_t>& sums, const std::vector<Outlier>& outliers, size_t b,
                    Inputs* in) const {
    const float sign = factors_.products.size() != 0 ? 1 : -factors_.common_zero;
    for (size_t g = 0; g * kSegmentColumns < shape().cols; ++g) {
      in->segments(b, g * kSegmentColumns / factors_.group) +=
          sign * in->scales(b, g * kSegmentColumns / kBlockColumns) * static_cast<float>(sums[g]);
    }
    for (const Outlier& o : outliers) in->segments(b, o.col / factors_.group) += sign * o.value;
  }

  // Levels of outliers, sums by strip and the values that escapes are multiplied with.
  void add_strips(const float* x, const std::vector<Outlier>& outliers, size_t b, Inputs* in,
                  std::vector<std::pair<size_t, OutlierLevel>>* levels) const {
    const auto sum_of = [](const int8_t* q, size_t count) {
      int32_t sum = 0;
      for (size_t i = 0; i < count; ++i) sum += q[i];
      return static_cast<float>(sum);
    };
    std::vector<OutlierLevel> own;
    auto at = outliers.begin();
    float all = 0;
    for (size_t s = 0; s < integers_->strips(); ++s) {
      const size_t first = integers_->first_column(s), width = integers_->width(s);
      const float* scales = in->scales.row(b) + first / kBlockColumns;
      int8_t* q = in->q.row(b) + first;
      const auto end = std::find_if(at, outliers.end(), [&](const Outlier& o) { return o.col >= first + width; });
      own.clear();
      if (at != end) split_outliers(std::span(at, end), first, q, scales, &own);
      at = end;
      float sum = 0;
      for (size_t c = 0; c < width; c += kBlockColumns) {
        const size_t count = std::min(width - c, kBlockColumns), block = c / kBlockColumns;
        sum += scales[block] * sum_of(q + c, count);
        for (const OutlierLevel& level : own) sum += level.scales[block] * sum_of(level.q + c, count);
      }
      in->sums(b, s) = sum;
      all += sum;
      for (const OutlierLevel& level : own) levels->emplace_back(s, level);
    }
    in->sums(b, integers_->strips()) = all;
    for (size_t c = 0; c < shape().cols; ++c) {
      const float value = factors_.columns.empty() ? x[c] : x[c] * factors_.columns[c];
      in->values(b, c) = in->scales(b, c / kBlockColumns) == 0 && std::fabs(value) <= kLeastActivation ? 0 : value;
    }
  }

  void apply_panel(size_t panel, const Inputs& in, MatrixView<float> out) const {
    if (factors_.group != 0) return apply_grouped(panel, in, out);
    for (size_t b = 0; b < in.count; b += kInputsOfStrip) {
      apply_strips(panel, in, b, std::min(kInputsOfStrip, in.count - b), out);
    }
  }

  // Inputs `first` to first + count - 1.
  void apply_strips(size_t panel, const Inputs& in, size_t first, size_t count, MatrixView<float> out) const {
    alignas(64) thread_local float lanes[kInputsOfStrip * kPanelRows * kSumLanes];
    thread_local std::vector<StripInput> inputs;
    float y[kInputsOfStrip][kPanelRows] = {};
    std::fill_n(lanes, count * kPanelRows * kSumLanes, 0.0f);
    for (size_t s = 0; s < integers_->strips(); ++s) {
      const size_t col = integers_->first_column(s);
      const auto sums_of = [&](size_t i) { return lanes + i * kPanelRows * kSumLanes; };
      inputs.clear();
      for (size_t i = 0; i < count; ++i) {
        const float* scales = in.scales.row(first + i) + col / kBlockColumns;
        inputs.push_back({in.q.row(first + i) + col, {scales[0], scales[1]}, sums_of(i)});
      }
      for (const auto& [input, level] : in.levels[s]) {
        if (input < first || input >= first + count) continue;
        inputs.push_back({level.q, {level.scales[0], level.scales[1]}, sums_of(input - first)});
      }
      strip_dots(integers_->strip(panel, s), inputs);
      const auto base = static_cast<float>(integers_->base(panel, s));
      for (size_t i = 0; i < count; ++i) {
        const float shift = base * in.sums(first + i, s);
        for (float& value : y[i]) value += shift;
        const float* x = in.values.row(first + i) + col;
        for (const uint32_t e : integers_->escapes(panel, s)) {
          const auto escape = PackedIntegers::unpack_escape(e);
          y[i][escape.row] += static_cast<float>(escape.delta) * x[escape.col];
        }
      }
    }
    const size_t row = integers_->first_row(panel), rows = integers_->panel_rows(panel);
    for (size_t i = 0; i < count; ++i) {
      float dots[kPanelRows];
      sum_lanes(lanes + i * kPanelRows * kSumLanes, dots);
      const float all = in.sums(first + i, integers_->strips());
      float* to = out.row(first + i) + row;
      for (size_t r = 0; r < rows; ++r) {
        const float zero = factors_.zeros.empty() ? factors_.common_zero : factors_.zeros[row + r];
        const float sum = dots[r] + (y[i][r] - zero * all);
        to[r] = factors_.rows.empty() ? sum : sum * factors_.rows[row + r];
      }
    }
  }

  void apply_grouped(size_t panel, const Inputs& in, MatrixView<float> out) const {
    const size_t row = integers_->first_row(panel), rows = integers_->panel_rows(panel);
    // Kept by the thread. Rows are read by fours, so beyond the last something must be there.
    alignas(64) thread_local uint8_t k[kPanelRows * kStripColumns];
    thread_local std::vector<float> sums;
    sums.assign(in.count * kPanelRows, 0.0f);
    const MatrixView<float> y(sums.data(), in.count, kPanelRows);
    const bool own = factors_.products.size() != 0;
    const DenseView all((own ? factors_.products : factors_.groups).view());
    dense_panel(all.row_range(row, rows), in.segments.view(), y.sub({0, 0, in.count, rows}));
    for (size_t s = 0; s < integers_->strips(); ++s) {
      const Strip strip = integers_->strip(panel, s);
      unpack_strip(strip, k);
      for (size_t c = 0; c < strip.width(); c += kBlockColumns) {
        const size_t col = integers_->first_column(s) + c;
        BlockDots dots;
        dots.k = k + c;
        dots.rows = rows;
        dots.cols = std::min(kBlockColumns, strip.width() - c);
        dots.most = strip.most();
        dots.batch = in.count;
        dots.x = in.q.data() + col;
        dots.x_stride = in.q.cols();
        dots.scales = in.scales.data() + col / kBlockColumns;
        dots.scale_stride = in.scales.cols();
        dots.y = y.data();
        const float* factors = factors_.groups.row(row) + col / factors_.group;
        segment_dots(dots, std::min(factors_.group, dots.cols), factors, factors_.per_row);
      }
      const auto fill = [&](size_t c, float* column) {
        const float* factor = factors_.groups.row(row) + (integers_->first_column(s) + c) / factors_.group;
        for (size_t r = 0; r < rows; ++r) {
          column[r] = factor[r * factors_.per_row] * static_cast<float>(k[r * kStripColumns + c]);
        }
      };
      add_outliers(in.outliers[s], fill, y);
    }
    for (size_t b = 0; b < in.count; ++b) std::copy_n(y.row(b), rows, out.row(b) + row);
  }

  // The outliers of a strip: fill(column in the strip, W of its rows) once per column.
  template <typename Fill>
  static void add_outliers(const std::vector<StripOutlier>& outliers, const Fill& fill, MatrixView<float> y) {
    float column[kPanelRows] = {};
    uint32_t filled = UINT32_MAX;
    for (const StripOutlier& o : outliers) {
      if (o.col != filled) fill(o.col, column);
      filled = o.col;
      float* __restrict to = y.row(o.input);
      for (size_t r = 0; r < kPanelRows; ++r) to[r] += o.value * column[r];
    }
  }

  void decode_row(size_t row, float* out) const {
    OCC_CHECK(row < shape().rows);
    const size_t panel = integers_->panel_of(row), r = row - integers_->first_row(panel);
    alignas(64) uint8_t lanes[kStripColumns];
    for (size_t s = 0; s < integers_->strips(); ++s) {
      const size_t col = integers_->first_column(s), cols = integers_->columns(s);
      const uint8_t* codes = integers_->unpack_row(panel, s, r, lanes);
      if (factors_.group != 0) {
        for (size_t c = 0; c < cols; ++c) {
          const size_t g = (col + c) / factors_.group;
          const float factor = factors_.groups(row, g);
          const float zero = factors_.products.size() != 0 ? factors_.products(row, g) : -factors_.common_zero * factor;
          out[col + c] = static_cast<float>(codes[c]) * factor + zero;
        }
        continue;
      }
      const float zero = factors_.zeros.empty() ? factors_.common_zero : factors_.zeros[row];
      const float base = static_cast<float>(integers_->base(panel, s)) - zero;
      const float factor = factors_.rows.empty() ? 1 : factors_.rows[row];
      for (size_t c = 0; c < cols; ++c) out[col + c] = static_cast<float>(codes[c]) + base;
      for (const uint32_t e : integers_->escapes(panel, s)) {
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
  return std::make_unique<FusedOperator>(std::move(integers), std::move(*factors),
                                         source.machine == nullptr ? 0 : source.machine->num_states);
}

}  // namespace occ
