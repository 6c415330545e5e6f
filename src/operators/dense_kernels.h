// Matrix products with a dense weight: y[b][r] = sum_c x[b][c] w[r][c].
//
// Sums run along the columns, which are contiguous in both operands, so that nothing is transposed. A tile of 4 rows
// and up to 3 inputs keeps 12 sums in registers and needs 7 loads for 12 fused multiply-adds. For up to kFewInputs
// inputs the weight is read once, in its own type. For more inputs, blocks of 16 rows and 1,024 columns are converted
// to f32 and stay in the first-level cache while all inputs are multiplied with them. Results differ between SIMD
// targets in their last bits.
#pragma once

#include <cstddef>

#include "occ/matrix.h"
#include "tensor/dtype.h"

namespace occ {

// A row-major matrix of elements of `type` (F32, F16 or BF16); the stride is in elements.
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

// y [batch, w.rows] = x w^T for x [batch, w.cols], or y += x w^T with `add`. On the calling thread.
void dense_panel(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add = false);
// The same on all threads.
void dense_product(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add = false);

}  // namespace occ
