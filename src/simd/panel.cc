// Transposition by 4 x 4 blocks in registers. Four rows by 16 columns are processed at a time, so that only four cache
// lines of the matrix are in use: rows that lie a power of two bytes apart share cache sets.
#include "simd/panel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/panel.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D4 = hn::FixedTag<float, 4>;

// out[j * out_stride + i] = in[i * in_stride + j], i, j < 4.
HWY_INLINE void Transpose4(const float* HWY_RESTRICT in, size_t in_stride, float* HWY_RESTRICT out, size_t out_stride) {
  const D4 d;
  const auto a = hn::LoadU(d, in), b = hn::LoadU(d, in + in_stride);
  const auto c = hn::LoadU(d, in + 2 * in_stride), e = hn::LoadU(d, in + 3 * in_stride);
  const auto ab_low = hn::InterleaveLower(d, a, b), ce_low = hn::InterleaveLower(d, c, e);
  const auto ab_high = hn::InterleaveUpper(d, a, b), ce_high = hn::InterleaveUpper(d, c, e);
  hn::StoreU(hn::ConcatLowerLower(d, ce_low, ab_low), d, out);
  hn::StoreU(hn::ConcatUpperUpper(d, ce_low, ab_low), d, out + out_stride);
  hn::StoreU(hn::ConcatLowerLower(d, ce_high, ab_high), d, out + 2 * out_stride);
  hn::StoreU(hn::ConcatUpperUpper(d, ce_high, ab_high), d, out + 3 * out_stride);
}

void TransposeKernel(const float* HWY_RESTRICT in, size_t rows, size_t cols, size_t in_stride, float* HWY_RESTRICT out,
                     size_t out_stride) {
  const size_t rows4 = rows & ~size_t{3}, cols4 = cols & ~size_t{3};
  constexpr size_t kStep = 16;
  for (size_t c = 0; c < cols4; c += kStep) {
    const size_t end = c + kStep < cols4 ? c + kStep : cols4;
    for (size_t r = 0; r < rows4; r += 4) {
      for (size_t j = c; j < end; j += 4)
        Transpose4(in + r * in_stride + j, in_stride, out + j * out_stride + r, out_stride);
    }
  }
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = r < rows4 ? cols4 : 0; c < cols; ++c) out[c * out_stride + r] = in[r * in_stride + c];
  }
}

// By squares of 16 columns and rows, so that full cache lines are read and written whichever of the two has the longer
// rows.
void TransposeSquares(MatrixView<const float> x, MatrixView<float> y) {
  constexpr size_t kSquare = 16;
  for (size_t c = 0; c < x.cols(); c += kSquare) {
    const size_t cols = x.cols() - c < kSquare ? x.cols() - c : kSquare;
    for (size_t r = 0; r < x.rows(); r += kSquare) {
      const size_t rows = x.rows() - r < kSquare ? x.rows() - r : kSquare;
      TransposeKernel(x.row(r) + c, rows, cols, x.stride(), y.row(c) + r, y.stride());
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(TransposeKernel);
HWY_EXPORT(TransposeSquares);

void transpose(MatrixView<const float> x, MatrixView<float> y) { HWY_DYNAMIC_DISPATCH(TransposeSquares)(x, y); }

void load_panel_rows(MatrixView<const float> x, float* panel) {
  if (x.cols() == 0) return;
  if (x.rows() < kPanelLanes) std::memset(panel, 0, x.cols() * kPanelLanes * sizeof(float));
  HWY_DYNAMIC_DISPATCH(TransposeKernel)(x.data(), x.rows(), x.cols(), x.stride(), panel, kPanelLanes);
}

void store_panel_rows(const float* panel, MatrixView<float> x) {
  if (x.size() == 0) return;
  HWY_DYNAMIC_DISPATCH(TransposeKernel)(panel, x.cols(), x.rows(), kPanelLanes, x.data(), x.stride());
}

}  // namespace occ
#endif
