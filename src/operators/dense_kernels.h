// Products with a dense weight, one panel of its rows on one thread: y[b][r] = sum_c x[b][c] w[r][c].
//
// Sums run along the columns, which are contiguous in both operands, so nothing is transposed: tiles of 4 rows times up
// to 3 inputs hold 12 sums in registers and take 7 loads for 12 fused multiply-adds. Up to kFewInputs inputs the weight
// is read once, in its own type; for more, 16 rows by 1,024 columns at a time are converted to f32 and stay in the
// first-level cache while all inputs pass. Floats differ between SIMD targets.
#pragma once

#include <cstddef>

#include "occ/matrix.h"
#include "tensor/dtype.h"

namespace occ {

// Elements of `type` (F32, F16, BF16), row-major; stride in elements.
struct DenseView {
  DType type = DType::kF32;
  const void* data = nullptr;
  size_t rows = 0, cols = 0, stride = 0;

  DenseView() = default;
  DenseView(DType t, const void* values, size_t r, size_t c) : type(t), data(values), rows(r), cols(c), stride(c) {}
  explicit DenseView(MatrixView<const float> m) : data(m.data()), rows(m.rows()), cols(m.cols()), stride(m.stride()) {}
  DenseView row_range(size_t row, size_t count) const {
    DenseView v = *this;
    v.data = static_cast<const char*>(data) + row * stride * dtype_size(type);
    v.rows = count;
    return v;
  }
};

constexpr size_t kFewInputs = 3;

// y [x.rows(), w.rows] = x w^T, or added to y.
void dense_panel(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add = false);
// The same on all threads.
void dense_product(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add = false);

}  // namespace occ
