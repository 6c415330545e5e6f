#include "quantization/nearest_centroid.h"

#include "base/check.h"
#include "simd/panel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/nearest_centroid.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must be included before highway.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using LaneTag = hn::CappedTag<float, kPanelLanes>;
using Lanes = hn::VFromD<LaneTag>;

// Takes two registers of vectors at a time, so that each broadcast centroid is used for both; one register if it holds
// 16 lanes. kDim is the number of coordinates, or 0 for any number.
template <size_t kDim>
HWY_INLINE void Nearest(const float* rows, size_t k, size_t any_dim, const float* panel, uint32_t* index,
                        float* values) {
  const LaneTag d;
  const hn::RebindToUnsigned<LaneTag> du;
  const size_t dim = kDim == 0 ? any_dim : kDim, lanes = hn::Lanes(d);
  const size_t second = lanes == kPanelLanes ? 0 : lanes;
  for (size_t v = 0; v < kPanelLanes; v += lanes + second) {
    const float* x = panel + v;
    Lanes best0 = hn::Set(d, HUGE_VALF), best1 = best0;
    auto index0 = hn::Zero(du), index1 = index0;
    const float* c = rows;
    for (size_t j = 0; j < k; ++j, c += dim + 1) {
      Lanes sum0 = hn::Set(d, c[dim]), sum1 = sum0;
      for (size_t i = 0; i < dim; ++i) {
        const Lanes ci = hn::Set(d, c[i]);
        sum0 = hn::Sub(sum0, hn::Mul(ci, hn::LoadU(d, x + i * kPanelLanes)));
        sum1 = hn::Sub(sum1, hn::Mul(ci, hn::LoadU(d, x + i * kPanelLanes + second)));
      }
      const auto number = hn::Set(du, static_cast<uint32_t>(j));
      index0 = hn::IfThenElse(hn::RebindMask(du, hn::Lt(sum0, best0)), number, index0);
      index1 = hn::IfThenElse(hn::RebindMask(du, hn::Lt(sum1, best1)), number, index1);
      best0 = hn::Min(sum0, best0);
      best1 = hn::Min(sum1, best1);
    }
    hn::StoreU(index0, du, index + v);
    hn::StoreU(best0, d, values + v);
    hn::StoreU(index1, du, index + v + second);
    hn::StoreU(best1, d, values + v + second);
  }
}

void NearestCentroid(const float* rows, size_t k, size_t dim, const float* panel, uint32_t* index, float* values) {
  switch (dim) {
    case 1:
      return Nearest<1>(rows, k, dim, panel, index, values);
    case 2:
      return Nearest<2>(rows, k, dim, panel, index, values);
    case 4:
      return Nearest<4>(rows, k, dim, panel, index, values);
    case 8:
      return Nearest<8>(rows, k, dim, panel, index, values);
    default:
      return Nearest<0>(rows, k, dim, panel, index, values);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(NearestCentroid);

CentroidSearch::CentroidSearch(MatrixView<const float> centroids, std::span<const float> weights)
    : k_(centroids.rows()), d_(centroids.cols()), rows_(k_ * (d_ + 1)) {
  OCC_CHECK(weights.empty() || weights.size() == d_);
  for (size_t j = 0; j < k_; ++j) {
    double square = 0;
    for (size_t i = 0; i < d_; ++i) {
      const auto c = static_cast<double>(centroids(j, i));
      const double weighted = c * (weights.empty() ? 1 : static_cast<double>(weights[i]));
      rows_[j * (d_ + 1) + i] = static_cast<float>(weighted);
      square += c * weighted;
    }
    rows_[j * (d_ + 1) + d_] = static_cast<float>(square / 2);
  }
}

void CentroidSearch::nearest(const float* panel, uint32_t index[16], float values[16]) const {
  HWY_DYNAMIC_DISPATCH(NearestCentroid)(rows_.data(), k_, d_, panel, index, values);
}

}  // namespace occ
#endif
