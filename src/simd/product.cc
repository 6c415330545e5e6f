#include "simd/product.h"

#include <cstring>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/product.cc"
#include "hwy/foreach_target.h"
#include "simd/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

// A panel of b stays in the second-level cache while all rows pass over it, a chunk of it in the first.
template <typename T>
HWY_INLINE void OrderedProduct(const MatrixView<const T>& a, const PackedMatrix<T>& b, const MatrixView<T>& out) {
  constexpr size_t kRows = 64;
  const size_t k = b.k(), n = b.n();
  HWY_ALIGN T tile[kRows * 16];
  for (size_t c = 0; c < n; c += 16) {
    const T* panel = b.panel(c / 16);
    const size_t width = n - c < 16 ? n - c : 16;
    for (size_t r = 0; r < a.rows(); r += kRows) {
      const size_t rows = a.rows() - r < kRows ? a.rows() - r : kRows;
      if (width == 16) {
        ProductPanel(a.row(r), a.stride(), rows, panel, k, out.row(r) + c, out.stride());
        continue;
      }
      ProductPanel(a.row(r), a.stride(), rows, panel, k, tile, 16);
      for (size_t i = 0; i < rows; ++i) std::memcpy(out.row(r + i) + c, tile + 16 * i, width * sizeof(T));
    }
  }
}

template <typename T>
HWY_INLINE void MixBlocks(T* data, size_t m, size_t stride, size_t width, const T* matrix) {
  HWY_ALIGN T in[kMaxMix * 16];
  HWY_ALIGN T out[kMaxMix * 16];
  for (size_t c = 0; c < width; c += 16) {
    const size_t bytes = (width - c < 16 ? width - c : 16) * sizeof(T);
    const bool full = bytes == 16 * sizeof(T);
    if (!full) std::memset(in, 0, m * 16 * sizeof(T));
    for (size_t i = 0; i < m; ++i) std::memcpy(in + 16 * i, data + i * stride + c, bytes);
    ProductPanel(matrix, m, m, in, m, full ? data + c : out, full ? stride : 16);
    for (size_t i = 0; i < m && !full; ++i) std::memcpy(data + i * stride + c, out + 16 * i, bytes);
  }
}

void OrderedProductF32(const MatrixView<const float>& a, const PackedMatrix<float>& b, const MatrixView<float>& out) {
  OrderedProduct(a, b, out);
}
void OrderedProductF64(const MatrixView<const double>& a, const PackedMatrix<double>& b,
                       const MatrixView<double>& out) {
  OrderedProduct(a, b, out);
}
void MixBlocksF32(float* data, size_t m, size_t stride, size_t width, const float* matrix) {
  MixBlocks(data, m, stride, width, matrix);
}
void MixBlocksF64(double* data, size_t m, size_t stride, size_t width, const double* matrix) {
  MixBlocks(data, m, stride, width, matrix);
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(OrderedProductF32);
HWY_EXPORT(OrderedProductF64);
HWY_EXPORT(MixBlocksF32);
HWY_EXPORT(MixBlocksF64);

void ordered_product(MatrixView<const float> a, const PackedMatrix<float>& b, MatrixView<float> out) {
  OCC_CHECK(a.cols() == b.k() && out.rows() == a.rows() && out.cols() == b.n());
  HWY_DYNAMIC_DISPATCH(OrderedProductF32)(a, b, out);
}
void ordered_product(MatrixView<const double> a, const PackedMatrix<double>& b, MatrixView<double> out) {
  OCC_CHECK(a.cols() == b.k() && out.rows() == a.rows() && out.cols() == b.n());
  HWY_DYNAMIC_DISPATCH(OrderedProductF64)(a, b, out);
}
void mix_blocks(float* data, size_t m, size_t stride, size_t width, const float* matrix) {
  OCC_CHECK(m <= kMaxMix);
  HWY_DYNAMIC_DISPATCH(MixBlocksF32)(data, m, stride, width, matrix);
}
void mix_blocks(double* data, size_t m, size_t stride, size_t width, const double* matrix) {
  OCC_CHECK(m <= kMaxMix);
  HWY_DYNAMIC_DISPATCH(MixBlocksF64)(data, m, stride, width, matrix);
}

}  // namespace occ
#endif
