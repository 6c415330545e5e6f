#include "model/attention.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "simd/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kAttentionBlock = 64;

using DA = hn::CappedTag<float, 8>;
using VA = hn::Vec<DA>;

HWY_INLINE VA LoadAny(DA d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE VA LoadAny(DA d, const hwy::float16_t* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, DA>(), p));
}

// out[r][c] (+)= sum_i a[r][i] b[i][c] for R rows and C vectors of columns; vector c of row i of b at
// b + offset[c] + i * ldb. Sums run over i in order.
template <size_t R, size_t C, typename T>
HWY_INLINE void ProductTile(const float* a, size_t lda, size_t k, const T* b, const size_t* offset, size_t ldb,
                            bool add, float* out, size_t ldo) {
  const DA d;
  const size_t n = hn::Lanes(d);
  VA sum[R][C];
  for (size_t r = 0; r < R; ++r) {
    for (size_t c = 0; c < C; ++c) sum[r][c] = add ? hn::LoadU(d, out + r * ldo + c * n) : hn::Zero(d);
  }
  const T* at[C];
  for (size_t c = 0; c < C; ++c) at[c] = b + offset[c];
  for (size_t i = 0; i < k; ++i) {
    VA x[R];
    for (size_t r = 0; r < R; ++r) x[r] = hn::Set(d, a[r * lda + i]);
    for (size_t c = 0; c < C; ++c) {
      const VA row = LoadAny(d, at[c] + i * ldb);
      for (size_t r = 0; r < R; ++r) sum[r][c] = hn::MulAdd(x[r], row, sum[r][c]);
    }
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t c = 0; c < C; ++c) hn::StoreU(sum[r][c], d, out + r * ldo + c * n);
  }
}

// All rows and `columns` columns, a multiple of 16; offset_of(c) is where column c (a multiple of the lanes) begins.
template <size_t R, typename T, typename F>
HWY_INLINE void ProductRows(const float* a, size_t lda, size_t k, const T* b, size_t columns, const F& offset_of,
                            size_t ldb, bool add, float* out, size_t ldo) {
  const size_t n = hn::Lanes(DA());
  size_t offset[4];
  size_t c = 0;
  for (; R <= 3 && c + 4 * n <= columns; c += 4 * n) {  // few rows: more columns, so that enough sums are under way
    for (size_t i = 0; i < 4; ++i) offset[i] = offset_of(c + i * n);
    ProductTile<R, 4>(a, lda, k, b, offset, ldb, add, out + c, ldo);
  }
  for (; c < columns; c += 2 * n) {
    for (size_t i = 0; i < 2; ++i) offset[i] = offset_of(c + i * n);
    ProductTile<R, 2>(a, lda, k, b, offset, ldb, add, out + c, ldo);
  }
}

template <typename T, typename F>
HWY_INLINE void Product(size_t rows, const float* a, size_t lda, size_t k, const T* b, size_t columns,
                        const F& offset_of, size_t ldb, bool add, float* out, size_t ldo) {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    ProductRows<4>(a + r * lda, lda, k, b, columns, offset_of, ldb, add, out + r * ldo, ldo);
  }
  switch (rows - r) {
    case 3:
      return ProductRows<3>(a + r * lda, lda, k, b, columns, offset_of, ldb, add, out + r * ldo, ldo);
    case 2:
      return ProductRows<2>(a + r * lda, lda, k, b, columns, offset_of, ldb, add, out + r * ldo, ldo);
    case 1:
      return ProductRows<1>(a + r * lda, lda, k, b, columns, offset_of, ldb, add, out + r * ldo, ldo);
    default:
      return;
  }
}

struct RowState {
  float max, sum;
};

// Scores of a block to exp(score - maximum), with the maximum so far; the sums in `out` are scaled to it.
HWY_INLINE void SoftmaxBlock(float* scores, size_t begin, size_t end, RowState* state, float* out, size_t out_dim) {
  const DA d;
  const size_t n = hn::Lanes(d);
  std::fill(scores, scores + begin, -INFINITY);
  std::fill(scores + end, scores + kAttentionBlock, -INFINITY);
  VA max = hn::LoadU(d, scores);
  for (size_t i = n; i < kAttentionBlock; i += n) max = hn::Max(max, hn::LoadU(d, scores + i));
  const float new_max = std::max(state->max, hn::GetLane(hn::MaxOfLanes(d, max)));
  if (!(new_max > -INFINITY)) {  // nothing seen yet
    std::fill(scores, scores + kAttentionBlock, 0.0f);
    return;
  }
  const VA shift = hn::Set(d, new_max);
  VA sum = hn::Zero(d);
  for (size_t i = 0; i < kAttentionBlock; i += n) {
    const VA p = Exp(d, hn::Sub(hn::LoadU(d, scores + i), shift));
    hn::StoreU(p, d, scores + i);
    sum = hn::Add(sum, p);
  }
  if (new_max > state->max) {
    const float factor = hn::GetLane(Exp(d, hn::Set(d, state->max - new_max)));
    const VA vfactor = hn::Set(d, factor);
    state->sum *= factor;
    for (size_t i = 0; i < out_dim; i += n) hn::StoreU(hn::Mul(hn::LoadU(d, out + i), vfactor), d, out + i);
    state->max = new_max;
  }
  state->sum += hn::GetLane(hn::SumOfLanes(d, sum));
}

// x = cap tanh(x / cap) = 2 cap sigmoid(2 x / cap) - cap; n is a multiple of the lanes.
HWY_INLINE void CapScores(float cap, float* x, size_t n) {
  const DA d;
  const VA factor = hn::Set(d, 2 / cap), vcap = hn::Set(d, cap), twice = hn::Set(d, 2 * cap);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    hn::StoreU(hn::Sub(TimesSigmoid(d, twice, hn::Mul(hn::LoadU(d, x + i), factor)), vcap), d, x + i);
  }
}

template <typename T>
HWY_INLINE void Attend(const AttentionPanel& p) {
  const size_t rows = p.tokens * p.group, dim = p.head_dim, value_dim = ceil_div(dim, kKeyBlock) * kKeyBlock;
  Matrix<float> q = Matrix<float>::uninitialized(rows, dim);
  Matrix<float> out(rows, value_dim);
  Matrix<float> scores = Matrix<float>::uninitialized(rows, kAttentionBlock);
  std::vector<RowState> states(rows, {-INFINITY, 0});
  for (size_t r = 0; r < rows; ++r) {
    const float* from = p.q + r / p.group * p.q_token_step + r % p.group * p.q_head_step;
    for (size_t i = 0; i < dim; ++i) q(r, i) = from[i] * p.scale;
  }
  const T* keys = static_cast<const T*>(p.cache.keys);
  const T* values = static_cast<const T*>(p.cache.values);
  // What row r sees: [begin(r), end(r)).
  const auto end = [&](size_t r) { return p.causal ? p.first + r / p.group + 1 : p.length; };
  const auto begin = [&](size_t r) { return p.window != 0 && end(r) > p.window ? end(r) - p.window : 0; };
  const size_t last = end(rows - 1);
  for (size_t start = begin(0) / kAttentionBlock * kAttentionBlock; start < last; start += kAttentionBlock) {
    const size_t count = std::min(kAttentionBlock, last - start);
    const auto key_offset = [&](size_t c) { return c / kKeyBlock * kKeyBlock * dim + c % kKeyBlock; };
    Product(rows, q.data(), dim, dim, keys + start * dim, ceil_div(count, kKeyBlock) * kKeyBlock, key_offset, kKeyBlock,
            false, scores.data(), kAttentionBlock);
    for (size_t r = 0; r < rows; ++r) {
      const size_t from = std::clamp(begin(r), start, start + count) - start;
      const size_t to = std::max(std::clamp(end(r), start, start + count) - start, from);
      if (p.softcap != 0) CapScores(p.softcap, scores.row(r), ceil_div(count, kKeyBlock) * kKeyBlock);
      SoftmaxBlock(scores.row(r), from, to, &states[r], out.row(r), value_dim);
    }
    Product(
        rows, scores.data(), kAttentionBlock, count, values + start * value_dim, value_dim, [](size_t c) { return c; },
        value_dim, true, out.data(), value_dim);
  }
  for (size_t r = 0; r < rows; ++r) {
    float* to = p.out + r / p.group * p.out_token_step + r % p.group * dim;
    const float scale = 1.0f / states[r].sum;
    for (size_t i = 0; i < dim; ++i) to[i] = out(r, i) * scale;
  }
}

void AttendF32(const AttentionPanel& p) { Attend<float>(p); }
void AttendF16(const AttentionPanel& p) { Attend<hwy::float16_t>(p); }

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(AttendF32);
HWY_EXPORT(AttendF16);

void attend(const AttentionPanel& panel) {
  OCC_CHECK(panel.tokens > 0 && panel.group > 0);
  if (panel.half) {
    HWY_DYNAMIC_DISPATCH(AttendF16)(panel);
  } else {
    HWY_DYNAMIC_DISPATCH(AttendF32)(panel);
  }
}

}  // namespace occ
#endif
