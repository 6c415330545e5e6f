#include "operators/dense_kernels.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "operators/dense_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "operators/sums-inl.h"

#ifndef OCC_OPERATORS_DENSE_KERNELS_ONCE
#define OCC_OPERATORS_DENSE_KERNELS_ONCE
namespace occ {
constexpr size_t kConvertedRows = 32;
}  // namespace occ
#endif

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
#define OCC_DENSE_PLAIN 1
#else
#define OCC_DENSE_PLAIN 0
#endif

constexpr size_t kTileRows = 4;
constexpr size_t kChunk = 1024;  // columns

HWY_INLINE float ValueOf(float v) { return v; }
HWY_INLINE float ValueOf(hwy::bfloat16_t v) { return hwy::F32FromBF16(v); }
HWY_INLINE float ValueOf(hwy::float16_t v) { return f16_to_f32(v.bits); }

#if !OCC_DENSE_PLAIN

using DF = hn::CappedTag<float, 16>;

HWY_INLINE hn::Vec<DF> LoadValues(DF d, const float* p) { return hn::LoadU(d, p); }
template <typename T>
HWY_INLINE hn::Vec<DF> LoadValues(DF d, const T* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T, DF>(), p));
}

// y[b][0 .. kRows) of kInputs inputs over k columns.
template <size_t kRows, size_t kInputs, typename T>
HWY_INLINE void Tile(const T* HWY_RESTRICT w, size_t ldw, const float* HWY_RESTRICT x, size_t ldx, size_t k, bool add,
                     float* HWY_RESTRICT y, size_t ldy) {
  const DF d;
  constexpr size_t kN = hn::MaxLanes(DF());
  using V = hn::Vec<DF>;
  V sum[kTileRows][kInputs];
  for (size_t r = 0; r < kTileRows; ++r) {
    for (size_t b = 0; b < kInputs; ++b) sum[r][b] = hn::Zero(d);
  }
  size_t i = 0;
  for (; i + kN <= k; i += kN) {
    V in[kInputs];
    for (size_t b = 0; b < kInputs; ++b) in[b] = hn::LoadU(d, x + b * ldx + i);
    for (size_t r = 0; r < kRows; ++r) {
      const V v = LoadValues(d, w + r * ldw + i);
      for (size_t b = 0; b < kInputs; ++b) sum[r][b] = hn::MulAdd(v, in[b], sum[r][b]);
    }
  }
  for (size_t b = 0; b < kInputs; ++b) {
    HWY_ALIGN float total[kTileRows];
    const hn::FixedTag<float, 4> d4;
    hn::Store(SumsOfLanes4(d, sum[0][b], sum[1][b], sum[2][b], sum[3][b]), d4, total);
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t c = i; c < k; ++c) total[r] += ValueOf(w[r * ldw + c]) * x[b * ldx + c];
      y[b * ldy + r] = add ? y[b * ldy + r] + total[r] : total[r];
    }
  }
}

#else

template <size_t kRows, size_t kInputs, typename T>
HWY_INLINE void Tile(const T* w, size_t ldw, const float* x, size_t ldx, size_t k, bool add, float* y, size_t ldy) {
  for (size_t b = 0; b < kInputs; ++b) {
    for (size_t r = 0; r < kRows; ++r) {
      float total = add ? y[b * ldy + r] : 0;
      for (size_t c = 0; c < k; ++c) total += ValueOf(w[r * ldw + c]) * x[b * ldx + c];
      y[b * ldy + r] = total;
    }
  }
}

#endif

// By chunks of columns, also where there is no need: so a sum is the same for any number of inputs.
template <size_t kRows, size_t kInputs, typename T>
HWY_INLINE void TileChunks(const T* w, size_t ldw, const float* x, size_t ldx, size_t k, bool add, float* y,
                           size_t ldy) {
  Tile<kRows, kInputs>(w, ldw, x, ldx, std::min(kChunk, k), add, y, ldy);
  for (size_t c = kChunk; c < k; c += kChunk) {
    Tile<kRows, kInputs>(w + c, ldw, x + c, ldx, std::min(kChunk, k - c), true, y, ldy);
  }
}

template <size_t kInputs, typename T>
HWY_INLINE void TileRows(const T* w, size_t ldw, size_t rows, const float* x, size_t ldx, size_t k, bool add, float* y,
                         size_t ldy) {
  size_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) {
    TileChunks<kTileRows, kInputs>(w + r * ldw, ldw, x, ldx, k, add, y + r, ldy);
  }
  for (; r < rows; ++r) TileChunks<1, kInputs>(w + r * ldw, ldw, x, ldx, k, add, y + r, ldy);
}

// All inputs, three at a time, with the rows that are given.
template <typename T>
void Inputs(const T* w, size_t ldw, size_t rows, MatrixView<const float> x, bool add, MatrixView<float> y) {
  for (size_t b = 0; b < x.rows(); b += kFewInputs) {
    const float* in = x.row(b);
    float* out = y.row(b);
    switch (std::min(kFewInputs, x.rows() - b)) {
      case 3:
        TileRows<3>(w, ldw, rows, in, x.stride(), x.cols(), add, out, y.stride());
        break;
      case 2:
        TileRows<2>(w, ldw, rows, in, x.stride(), x.cols(), add, out, y.stride());
        break;
      default:
        TileRows<1>(w, ldw, rows, in, x.stride(), x.cols(), add, out, y.stride());
    }
  }
}

template <typename T>
void Panel(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add) {
  const T* values = static_cast<const T*>(w.data);
  if (x.rows() <= kFewInputs) return Inputs(values, w.stride, w.rows, x, add, y);
  constexpr size_t kStride = kChunk + 16;  // rows a power of two apart would share cache sets
  alignas(64) float converted[kConvertedRows * kStride];
  for (size_t r0 = 0; r0 < w.rows; r0 += kConvertedRows) {
    const size_t rows = std::min(kConvertedRows, w.rows - r0);
    size_t c = 0;
    do {
      const size_t cols = std::min(kChunk, w.cols - c);
      for (size_t r = 0; r < rows; ++r) {
        convert_to_f32(w.type, values + (r0 + r) * w.stride + c, converted + r * kStride, cols);
      }
      Inputs(converted, kStride, rows, x.sub({0, c, x.rows(), cols}), add || c != 0, y.sub({0, r0, y.rows(), rows}));
      c += cols;
    } while (c < w.cols);
  }
}

void DensePanel(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add) {
  switch (w.type) {
    case DType::kF16:
      return Panel<hwy::float16_t>(w, x, y, add);
    case DType::kBF16:
      return Panel<hwy::bfloat16_t>(w, x, y, add);
    default:
      return Panel<float>(w, x, y, add);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(DensePanel);

void dense_panel(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add) {
  OCC_CHECK(x.cols() == w.cols && y.cols() == w.rows && x.rows() == y.rows());
  OCC_CHECK(w.type == DType::kF32 || w.type == DType::kF16 || w.type == DType::kBF16);
  HWY_DYNAMIC_DISPATCH(DensePanel)(w, x, y, add);
}

void dense_product(const DenseView& w, MatrixView<const float> x, MatrixView<float> y, bool add) {
  constexpr size_t kLeastWork = size_t{1} << 17;  // multiply-adds of a task
  const size_t per_row = std::max<size_t>(1, w.cols * x.rows());
  const size_t rows = std::max<size_t>(1, ceil_div(kLeastWork, per_row * kConvertedRows)) * kConvertedRows;
  parallel_for(ceil_div(w.rows, rows), [&](size_t i) {
    const size_t count = std::min(rows, w.rows - i * rows);
    dense_panel(w.row_range(i * rows, count), x, y.sub({0, i * rows, y.rows(), count}), add);
  });
}

}  // namespace occ
#endif
