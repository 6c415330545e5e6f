// Products of integers that have a factor for every row and group of columns. A strip is unpacked to bytes, which all
// inputs of the batch share.
#include <algorithm>

#include "base/parallel.h"
#include "operators/dense_kernels.h"
#include "operators/integer_weight.h"
#include "operators/segment_dots.h"

namespace occ {
namespace {

constexpr size_t kMostInputs = 256;  // at once

// A batch of inputs in int8.
struct Inputs {
  size_t count = 0;
  Matrix<int8_t> q;                                 // [count, blocks of 256 columns]
  Matrix<float> scales;                             // [count, blocks]
  Matrix<float> segments;                           // [count, per_row]: scale * sum of q by group of factors
  std::vector<std::vector<StripOutlier>> outliers;  // exact, not in q
};

Inputs quantize(const IntegerWeight& weight, MatrixView<const float> x) {
  const Factors& scaling = weight.factors;
  Inputs in;
  in.count = x.rows();
  const size_t blocks = ceil_div(x.cols(), kBlockColumns);
  in.q = Matrix<int8_t>::uninitialized(in.count, blocks * kBlockColumns);
  in.scales = Matrix<float>(in.count, blocks);
  in.segments = Matrix<float>(in.count, scaling.per_row);
  std::vector<std::vector<Outlier>> outliers(in.count);
  parallel_for(in.count, [&](size_t b) {
    std::vector<int32_t> sums(blocks * kBlockColumns / kSegmentColumns);
    const float* factors = scaling.columns.empty() ? nullptr : scaling.columns.data();
    quantize_activations(x.row(b), factors, x.cols(), in.q.row(b), in.scales.row(b), sums.data(), &outliers[b]);
    // What zeros of groups are multiplied with.
    const float sign = scaling.products.size() != 0 ? 1 : -scaling.common_zero;
    for (size_t g = 0; g * kSegmentColumns < x.cols(); ++g) {
      in.segments(b, g * kSegmentColumns / scaling.group) +=
          sign * in.scales(b, g * kSegmentColumns / kBlockColumns) * static_cast<float>(sums[g]);
    }
    for (const Outlier& o : outliers[b]) in.segments(b, o.col / scaling.group) += sign * o.value;
  });
  in.outliers = outliers_by_strip(*weight.integers, outliers);
  return in;
}

void apply_panel(const IntegerWeight& weight, size_t panel, const Inputs& in, MatrixView<float> out) {
  const PackedIntegers& integers = *weight.integers;
  const Factors& scaling = weight.factors;
  const size_t row = integers.first_row(panel), rows = integers.panel_rows(panel);
  // Kept by the thread. Rows are read by fours, so beyond the last something must be there.
  alignas(64) thread_local uint8_t k[kPanelRows * kStripColumns];
  thread_local std::vector<float> sums;
  sums.assign(in.count * kPanelRows, 0.0f);
  const MatrixView<float> y(sums.data(), in.count, kPanelRows);
  const bool own = scaling.products.size() != 0;
  const DenseView all((own ? scaling.products : scaling.groups).view());
  dense_panel(all.row_range(row, rows), in.segments.view(), y.sub({0, 0, in.count, rows}));
  for (size_t s = 0; s < integers.strips(); ++s) {
    const Strip strip = integers.strip(panel, s);
    unpack_strip(strip, k);
    for (size_t c = 0; c < strip.width(); c += kBlockColumns) {
      const size_t col = integers.first_column(s) + c;
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
      const float* factors = scaling.groups.row(row) + col / scaling.group;
      segment_dots(dots, std::min(scaling.group, dots.cols), factors, scaling.per_row);
    }
    const auto fill = [&](size_t c, float* column) {
      const float* factor = scaling.groups.row(row) + (integers.first_column(s) + c) / scaling.group;
      for (size_t r = 0; r < rows; ++r) {
        column[r] = factor[r * scaling.per_row] * static_cast<float>(k[r * kStripColumns + c]);
      }
    };
    add_outliers(in.outliers[s], fill, y);
  }
  for (size_t b = 0; b < in.count; ++b) std::copy_n(y.row(b), rows, out.row(b) + row);
}

}  // namespace

void multiply_grouped(const IntegerWeight& w, MatrixView<const float> x, MatrixView<float> y) {
  for (size_t b = 0; b < x.rows(); b += kMostInputs) {
    const size_t count = std::min(kMostInputs, x.rows() - b);
    const Inputs in = quantize(w, x.row_range(b, count));
    const MatrixView<float> out = y.row_range(b, count);
    parallel_for(w.integers->panels(), [&](size_t panel) { apply_panel(w, panel, in, out); });
  }
}

}  // namespace occ
