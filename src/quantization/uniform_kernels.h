// SIMD kernels of `uniform`: q = round(clamp(x / scale + offset, 0, max_code)), with halves rounded to even, and
// x' = scale * (float(q) - offset). The kernels allocate no memory and cannot fail. Sums are made as described in
// partial_sums-inl.h, so that they are the same on every CPU.
#pragma once

#include <cstddef>
#include <span>

#include "occ/matrix.h"
#include "quantization/scale_grid.h"
#include "tensor/symbols.h"

namespace occ {

// The scales and offsets of a rectangle.
struct UniformWindow {
  ScaleWindow scales;
  const float* offset = nullptr;  // one for each scale; null: all are common_offset
  float common_offset = 0;
  float max_code = 0;
};
void uniform_quantize(const UniformWindow& window, MatrixView<float> values, MatrixView<Symbol> symbols);
void uniform_dequantize(const UniformWindow& window, MatrixView<const Symbol> symbols, MatrixView<float> out);

// What a fit measures on a line, which are the values that share a scale, as a matrix of any shape.
struct LineRange {
  float min = 0, max = 0;
};
LineRange line_range(MatrixView<const float> x);  // x must not be empty
struct LineSums {
  double sum = 0;        // sum of x / unit
  double deviation = 0;  // sum of |x / unit - center|
};
LineSums line_sums(MatrixView<const float> x, float unit, float center);
// Sets errors[i] = sum (x - x')^2 for the scale and offset of steps[i]. There are at most kMaxUniformSteps of them.
constexpr size_t kMaxUniformSteps = 64;
struct UniformStep {
  float scale = 0, offset = 0;
};
void uniform_errors(MatrixView<const float> x, std::span<const UniformStep> steps, float max_code, double* errors);

}  // namespace occ
