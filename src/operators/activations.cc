#include "operators/activations.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "operators/activations.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A whole block of finite numbers or fewer; x and out have room for 256.
void QuantizeBlock(const float* HWY_RESTRICT x, int8_t* HWY_RESTRICT out, float* scale, int32_t* sums) {
  const hn::CappedTag<float, 8> d;
  const hn::RebindToSigned<decltype(d)> di;
  const size_t n = hn::Lanes(d);
  auto most = hn::Zero(d), spoilt = most;
  for (size_t i = 0; i < kBlockColumns; i += n) {
    const auto v = hn::LoadU(d, x + i);
    most = hn::Max(most, hn::Abs(v));
    spoilt = hn::Add(spoilt, hn::Mul(v, hn::Zero(d)));  // NaN from NaN and Inf
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(d, most)), nan = hn::GetLane(hn::SumOfLanes(d, spoilt));
  const bool some = nan == 0 && largest > kLeastActivation;
  *scale = some ? largest / 127 : nan;
  const auto inverse = hn::Set(d, some ? 127 / largest : 0.0f);
  alignas(64) int32_t q[kBlockColumns];
  for (size_t i = 0; i < kBlockColumns; i += n) {
    const auto v = hn::LoadU(d, x + i);
    const auto scaled = some ? hn::Mul(v, inverse) : hn::Zero(d);
    hn::StoreU(hn::NearestInt(scaled), di, q + i);
  }
  for (size_t i = 0; i < kBlockColumns; ++i) out[i] = static_cast<int8_t>(q[i]);
  for (size_t g = 0; g < kBlockColumns / kSegmentColumns; ++g) {
    int32_t sum = 0;
    for (size_t i = 0; i < kSegmentColumns; ++i) sum += q[g * kSegmentColumns + i];
    sums[g] = sum;
  }
}

// The sum of the squares of a block, and the largest of them. At least NaN or Inf in the sum if it is in the block.
void SquaresOfBlock(const float* HWY_RESTRICT x, float* sum, float* largest) {
  const hn::CappedTag<float, 8> d;
  const size_t n = hn::Lanes(d);
  auto total = hn::Zero(d), most = total;
  for (size_t i = 0; i < kBlockColumns; i += n) {
    const auto v = hn::LoadU(d, x + i);
    const auto square = hn::Mul(v, v);
    total = hn::Add(total, square);
    most = hn::Max(most, square);
  }
  *sum = hn::GetLane(hn::SumOfLanes(d, total));
  *largest = hn::GetLane(hn::MaxOfLanes(d, most));
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(QuantizeBlock);
HWY_EXPORT(SquaresOfBlock);

// Moves what is far beyond the others from a block of `count` to the list.
void take_outliers(float* block, size_t count, size_t col, std::vector<Outlier>* outliers) {
  for (;;) {
    float sum = 0, largest = 0;
    HWY_DYNAMIC_DISPATCH(SquaresOfBlock)(block, &sum, &largest);
    const float limit = kOutlier * kOutlier / static_cast<float>(count) * sum;
    if (!(largest >= limit && limit > 0 && std::isfinite(limit))) return;
    for (size_t i = 0; i < count; ++i) {
      if (block[i] * block[i] < limit) continue;
      outliers->push_back({static_cast<uint32_t>(col + i), block[i]});
      block[i] = 0;
    }
  }
}

void quantize_activations(const float* x, const float* factors, size_t n, int8_t* q, float* scales, int32_t* sums,
                          std::vector<Outlier>* outliers) {
  alignas(64) float block[kBlockColumns];
  for (size_t i = 0; i * kBlockColumns < n; ++i) {
    const size_t c = i * kBlockColumns, count = std::min(kBlockColumns, n - c);
    for (size_t j = 0; j < count; ++j) block[j] = factors == nullptr ? x[c + j] : x[c + j] * factors[c + j];
    std::fill(block + count, block + kBlockColumns, 0.0f);
    take_outliers(block, count, c, outliers);
    HWY_DYNAMIC_DISPATCH(QuantizeBlock)(block, q + c, scales + i, sums + i * (kBlockColumns / kSegmentColumns));
  }
}

void split_outliers(std::span<const Outlier> outliers, size_t first, int8_t* q, const float* scales,
                    std::vector<OutlierLevel>* levels) {
  constexpr size_t kMostLevels = 3;
  std::vector<float> left;
  for (const Outlier& o : outliers) left.push_back(o.value);
  for (size_t n = 0; n <= kMostLevels; ++n) {
    float most[2] = {};
    for (size_t i = 0; i < left.size(); ++i) {
      float& m = most[(outliers[i].col - first) / kBlockColumns];
      m = std::max(m, std::fabs(left[i]));
    }
    const bool held = !(most[0] > 127 * scales[0] || most[1] > 127 * scales[1]);
    const bool last = held || n == kMostLevels;
    OutlierLevel level;
    for (size_t b = 0; b < 2; ++b) level.scales[b] = last ? scales[b] : most[b] / 127;
    for (size_t i = 0; i < left.size(); ++i) {
      const size_t at = outliers[i].col - first;
      const float scale = level.scales[at / kBlockColumns];
      const float steps = scale > 0 ? std::clamp(std::nearbyint(left[i] / scale), -127.0f, 127.0f) : 0.0f;
      (last ? q : level.q)[at] = static_cast<int8_t>(steps);
      left[i] -= scale * steps;
    }
    if (last) return;
    levels->push_back(level);
  }
}

}  // namespace occ
#endif
