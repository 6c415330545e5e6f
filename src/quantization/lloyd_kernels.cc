#include "quantization/lloyd_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/lloyd_kernels.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must be included before highway.h.
#include "hwy/highway.h"
#include "quantization/partial_sums-inl.h"
#include "quantization/scaled_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

constexpr size_t kCompareLevels = 16;

// Returns the number of borders that are smaller than t.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE hn::VFromD<hn::RebindToSigned<D>> nearest(D d, const LevelSearch& levels, V t) {
  const hn::RebindToSigned<D> di;
  if (levels.count <= kCompareLevels) {
    auto q = hn::Zero(di);
    for (size_t i = 0; i + 1 < levels.count; ++i) {
      q = hn::Sub(q, hn::VecFromMask(di, hn::RebindMask(di, hn::Gt(t, hn::Set(d, levels.border[i])))));
    }
    return q;
  }
  const auto cell = hn::Mul(hn::Sub(t, hn::Set(d, levels.origin)), hn::Set(d, levels.cells_per_unit));
  const auto last = hn::Set(d, static_cast<float>(LevelSearch::kCells - 1));
  const auto c = hn::ConvertTo(di, hn::Min(hn::Max(cell, hn::Zero(d)), last));
  auto q = hn::GatherIndex(di, levels.below.data(), c);
  for (size_t jump = levels.first_jump; jump > 0; jump /= 2) {
    const auto step = hn::Set(di, static_cast<int32_t>(jump));
    const auto border = hn::GatherIndex(d, levels.border.data() + jump - 1, q);
    q = hn::Add(q, hn::IfThenElseZero(hn::RebindMask(di, hn::Gt(t, border)), step));
  }
  return q;
}

template <class D>
HWY_INLINE hn::VFromD<D> level_of(D d, const LevelSearch& levels, hn::VFromD<hn::RebindToSigned<D>> q) {
  return hn::GatherIndex(d, levels.level.data(), q);
}

void LloydQuantize(const LevelSearch& levels, const ScaleWindow& w, MatrixView<float> values,
                   MatrixView<Symbol> symbols) {
  for (size_t r = 0; r < values.rows(); ++r) {
    float* x = values.row(r);
    Symbol* out = symbols.row(r);
    for_row(w, r, values.cols(),
            [&levels, x, out](auto d, size_t i, size_t, auto pre, auto inverse, auto scale) HWY_ATTR {
              const auto q = nearest(d, levels, normalised(hn::LoadU(d, x + i), pre, inverse));
              store_symbols(d, q, out + i);
              hn::StoreU(hn::Mul(scale, level_of(d, levels, q)), d, x + i);
            });
  }
}

void LloydDequantize(const LevelSearch& levels, const ScaleWindow& w, MatrixView<const Symbol> symbols,
                     MatrixView<float> values) {
  for (size_t r = 0; r < values.rows(); ++r) {
    float* x = values.row(r);
    const Symbol* q = symbols.row(r);
    for_row(w, r, values.cols(), [&levels, x, q](auto d, size_t i, size_t, auto, auto, auto scale) HWY_ATTR {
      hn::StoreU(hn::Mul(scale, level_of(d, levels, load_symbols(d, q + i))), d, x + i);
    });
  }
}

void LloydAssign(const LevelSearch& levels, const ScaleWindow& w, MatrixView<const float> values, float* t,
                 Symbol* out) {
  for (size_t r = 0; r < values.rows(); ++r, t += values.cols(), out += values.cols()) {
    const float* x = values.row(r);
    for_row(w, r, values.cols(), [&levels, x, t, out](auto d, size_t i, size_t, auto pre, auto inverse, auto) HWY_ATTR {
      const auto v = normalised(hn::LoadU(d, x + i), pre, inverse);
      hn::StoreU(v, d, t + i);
      store_symbols(d, nearest(d, levels, v), out + i);
    });
  }
}

LloydSums SumLloyd(const LevelSearch& levels, MatrixView<const float> x, float scale) {
  const FloatTag d;
  const Reciprocal by = reciprocal_of(scale);
  LloydSums total;
  HWY_ALIGN float tt[kSums], tl[kSums], ll[kSums];
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t begin = 0; begin < x.cols(); begin += kRun) {
      const float* v = x.row(r) + begin;
      const size_t n = std::min(kRun, x.cols() - begin);
      for (size_t j = 0; j < kSums; ++j) tt[j] = tl[j] = ll[j] = 0;
      const auto add = [&](size_t j, auto inside, auto value) HWY_ATTR {
        const auto t = normalised(value, hn::Set(d, by.pre), hn::Set(d, by.inverse));
        const auto l = level_of(d, levels, nearest(d, levels, t));
        const auto sum = [&](float* to, auto term) HWY_ATTR {
          hn::Store(hn::Add(hn::Load(d, to + j), hn::IfThenElseZero(inside, term)), d, to + j);
        };
        sum(tt, hn::Mul(t, t));
        sum(tl, hn::Mul(t, l));
        sum(ll, hn::Mul(l, l));
      };
      const auto all = hn::FirstN(d, hn::Lanes(d));
      size_t i = 0;
      for (; i + kSums <= n; i += kSums) {
        for (size_t j = 0; j < kSums; j += hn::Lanes(d)) add(j, all, hn::LoadU(d, v + i + j));
      }
      if (i < n) {
        HWY_ALIGN float rest[kSums] = {};
        for (size_t j = 0; i + j < n; ++j) rest[j] = v[i + j];
        for (size_t j = 0; i + j < n; j += hn::Lanes(d)) add(j, hn::FirstN(d, n - i - j), hn::Load(d, rest + j));
      }
      total.tt += add_by_halves(tt);
      total.tl += add_by_halves(tl);
      total.ll += add_by_halves(ll);
    }
  }
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <limits>

namespace occ {
HWY_EXPORT(LloydQuantize);
HWY_EXPORT(LloydDequantize);
HWY_EXPORT(LloydAssign);
HWY_EXPORT(SumLloyd);

void LevelSearch::set_levels(std::span<const float> levels) {
  count = levels.size();
  std::copy(levels.begin(), levels.end(), level.begin());
  std::fill(level.begin() + static_cast<std::ptrdiff_t>(count), level.end(), levels.back());
  border.fill(std::numeric_limits<float>::infinity());
  for (size_t i = 0; i + 1 < count; ++i) border[i] = 0.5f * levels[i] + 0.5f * levels[i + 1];
  // Uses the same float operations as the search, so that a border and a value are put into cells in the same order.
  origin = border[0];
  const float width = border[count - 2] - origin;
  const float fits = static_cast<float>(kCells - 1) / width;
  cells_per_unit = width > 0 && fits < 0x1p100f ? fits : 1;
  std::array<int32_t, kCells> inside = {};
  for (size_t i = 0; i + 1 < count; ++i) {
    const float cell = (border[i] - origin) * cells_per_unit;
    ++inside[static_cast<size_t>(std::min(std::max(cell, 0.0f), static_cast<float>(kCells - 1)))];
  }
  int32_t sum = 0, most = 0;
  for (size_t c = 0; c < kCells; ++c) {
    below[c] = sum;
    sum += inside[c];
    most = std::max(most, inside[c]);
  }
  first_jump = 0;
  for (size_t jump = 1; jump <= static_cast<size_t>(most); jump *= 2) first_jump = jump;
}

void lloyd_quantize(const LevelSearch& levels, const ScaleWindow& window, MatrixView<float> values,
                    MatrixView<Symbol> symbols) {
  HWY_DYNAMIC_DISPATCH(LloydQuantize)(levels, window, values, symbols);
}
void lloyd_dequantize(const LevelSearch& levels, const ScaleWindow& window, MatrixView<const Symbol> symbols,
                      MatrixView<float> out) {
  HWY_DYNAMIC_DISPATCH(LloydDequantize)(levels, window, symbols, out);
}
void lloyd_assign(const LevelSearch& levels, const ScaleWindow& window, MatrixView<const float> x, float* t,
                  Symbol* q) {
  HWY_DYNAMIC_DISPATCH(LloydAssign)(levels, window, x, t, q);
}
LloydSums lloyd_sums(const LevelSearch& levels, MatrixView<const float> x, float scale) {
  return HWY_DYNAMIC_DISPATCH(SumLloyd)(levels, x, scale);
}

}  // namespace occ
#endif  // HWY_ONCE
