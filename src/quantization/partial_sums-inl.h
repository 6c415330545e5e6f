// Sums with 32 partial sums of floats, which are the same on every SIMD target: element i of a row is added to sum i
// mod 32, and then the upper half of the sums is added to the lower half until one is left. f32 is accurate enough for
// runs of up to 2^14 elements; the sums of longer rows are added in double.
#if defined(OCC_QUANTIZATION_PARTIAL_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCC_QUANTIZATION_PARTIAL_SUMS_INL_H_
#undef OCC_QUANTIZATION_PARTIAL_SUMS_INL_H_
#else
#define OCC_QUANTIZATION_PARTIAL_SUMS_INL_H_
#endif

#include <algorithm>
#include <cstddef>

#include "hwy/highway.h"
#include "occ/matrix.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kSums = 32;
constexpr size_t kRun = size_t{1} << 14;
using FloatTag = hn::CappedTag<float, kSums>;

HWY_INLINE double add_by_halves(float* sums) {
  for (size_t half = kSums / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return static_cast<double>(sums[0]);
}

// Returns the sum of term(d, vector of x) over n <= kRun elements.
template <class Term>
HWY_INLINE double sum_run(const float* HWY_RESTRICT x, size_t n, const Term& term) {
  const FloatTag d;
  HWY_ALIGN float sums[kSums] = {};
  const auto add = [&](size_t j, auto v) HWY_ATTR { hn::Store(hn::Add(hn::Load(d, sums + j), v), d, sums + j); };
  size_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (size_t j = 0; j < kSums; j += hn::Lanes(d)) add(j, term(d, hn::LoadU(d, x + i + j)));
  }
  if (i < n) {
    HWY_ALIGN float rest[kSums] = {};
    for (size_t j = 0; i + j < n; ++j) rest[j] = x[i + j];
    for (size_t j = 0; i + j < n; j += hn::Lanes(d)) {
      const auto inside = hn::FirstN(d, n - i - j);
      add(j, hn::IfThenElseZero(inside, term(d, hn::Load(d, rest + j))));
    }
  }
  return add_by_halves(sums);
}

template <class Term>
HWY_INLINE double sum_matrix(MatrixView<const float> x, const Term& term) {
  double sum = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); c += kRun) sum += sum_run(x.row(r) + c, std::min(kRun, x.cols() - c), term);
  }
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#endif  // per target
