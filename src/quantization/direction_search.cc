#include "quantization/direction_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/direction_search.cc"
#include "hwy/foreach_target.h"
// foreach_target.h comes first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using LaneTag = hn::CappedTag<float, DirectionTable::kLanes>;
using Lanes = hn::VFromD<LaneTag>;

template <size_t kDim>
class Search {
 public:
  HWY_INLINE Search(const DirectionTable& table, const float* x) : t_(table) {
    for (size_t i = 0; i < kDim; ++i) {
      x_[i] = hn::Set(d_, x[i]);
      square_ += x[i] * x[i];
    }
  }

  HWY_INLINE DirectionHit run() {
    if (!(square_ > 1e-30f)) return {0, 0};
    reach_ = std::sqrt(square_) * t_.length;
    if (t_.groups == 1) {
      scan_group(0);
      return best_;
    }
    HWY_ALIGN float dots[DirectionTable::kMaxGroups];
    Lanes most = hn::Set(d_, -std::numeric_limits<float>::infinity());
    for (size_t g = 0; g < t_.groups; g += kLanes) {
      for (size_t j = 0; j < kLanes; j += hn::Lanes(d_)) {
        const Lanes dot = products(t_.group.centers.row(g / kLanes), j);
        hn::Store(dot, d_, dots + g + j);
        most = hn::Max(most, dot);
      }
    }
    const float largest = hn::GetLane(hn::MaxOfLanes(d_, most));
    size_t nearest = 0;
    while (dots[nearest] != largest) ++nearest;  // lanes that are no groups hold the first of their panel
    scan_group(nearest);
    for (size_t g = 0; g < t_.groups; g += kLanes) {
      for (uint32_t open = open_caps(t_.group, g, dots + g); open != 0; open &= open - 1) {
        const size_t group = g + hwy::Num0BitsBelowLS1Bit_Nonzero32(open);
        if (group != nearest && group < t_.groups && is_open(t_.group, group, dots[group])) scan_group(group);
      }
    }
    return best_;
  }

 private:
  static constexpr size_t kLanes = DirectionTable::kLanes;

  // <x, p> of lanes from j on.
  HWY_INLINE Lanes products(const float* panel, size_t j) const {
    Lanes sum = hn::Mul(x_[0], hn::Load(d_, panel + j));
    for (size_t i = 1; i < kDim; ++i) sum = hn::Add(sum, hn::Mul(x_[i], hn::Load(d_, panel + kLanes * i + j)));
    return sum;
  }
  // Bits of the caps at, at + 1, ... that can hold a point as near as the best.
  HWY_INLINE uint32_t open_caps(const DirectionTable::Caps& caps, size_t at, const float* dots) const {
    uint32_t open = 0;
    for (size_t j = 0; j < kLanes; j += hn::Lanes(d_)) {
      const Lanes bound = hn::Sub(hn::Sub(hn::Mul(hn::Set(d_, cosine_), hn::LoadU(d_, caps.cos_r.data() + at + j)),
                                          hn::Mul(hn::Set(d_, sine_), hn::LoadU(d_, caps.sin_r.data() + at + j))),
                                  hn::Set(d_, margin_));
      uint8_t bits[8] = {};
      hn::StoreMaskBits(d_, hn::Ge(hn::Load(d_, dots + j), bound), bits);
      open |= static_cast<uint32_t>(bits[0] | bits[1] << 8) << j;
    }
    return open;
  }
  HWY_INLINE bool is_open(const DirectionTable::Caps& caps, size_t at, float dot) const {
    return dot >= (cosine_ * caps.cos_r[at] - sine_ * caps.sin_r[at]) - margin_;
  }

  void scan_group(size_t group) {
    HWY_ALIGN float dots[kLanes];
    for (size_t j = 0; j < kLanes; j += hn::Lanes(d_)) {
      hn::Store(products(t_.leaf.centers.row(group), j), d_, dots + j);
    }
    const uint32_t all = (uint32_t{1} << t_.leaves[group]) - 1;
    size_t first = kLanes;
    if (best_.index == kNone) {
      first = static_cast<size_t>(std::max_element(dots, dots + t_.leaves[group]) - dots);
      scan_leaf(kLanes * group + first);
    }
    for (uint32_t open = open_caps(t_.leaf, kLanes * group, dots) & all; open != 0; open &= open - 1) {
      const size_t leaf = hwy::Num0BitsBelowLS1Bit_Nonzero32(open);
      if (leaf != first && is_open(t_.leaf, kLanes * group + leaf, dots[leaf])) scan_leaf(kLanes * group + leaf);
    }
  }

  HWY_INLINE void scan_leaf(size_t leaf) {
    const DirectionHit before = best_;
    for (size_t b = t_.begin[leaf]; b < t_.begin[leaf + 1]; ++b) {
      for (size_t j = 0; j < kLanes; j += hn::Lanes(d_)) {
        const Lanes dots = products(t_.points.row(b), j);
        if (HWY_LIKELY(hn::AllFalse(d_, hn::Ge(dots, hn::Set(d_, best_.dot))))) continue;
        HWY_ALIGN float dot[kLanes];
        hn::Store(dots, d_, dot);
        const uint32_t* index = t_.index.data() + b * kLanes + j;
        for (size_t i = 0; i < hn::Lanes(d_); ++i) {
          if (dot[i] > best_.dot || (dot[i] == best_.dot && index[i] < best_.index)) best_ = {index[i], dot[i]};
        }
      }
    }
    if (best_.dot == before.dot) return;  // as nearly always
    if (best_.dot < 0) {  // few points, all far away: nothing may be skipped
      cosine_ = sine_ = 0;
      margin_ = std::numeric_limits<float>::infinity();
      return;
    }
    cosine_ = best_.dot;
    sine_ = std::sqrt(std::max(0.0f, reach_ * reach_ - cosine_ * cosine_));
    margin_ = reach_ * t_.margin;
  }

  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  const LaneTag d_;
  const DirectionTable& t_;
  Lanes x_[kDim];
  float square_ = 0, reach_ = 0;
  float cosine_ = 0, sine_ = 0, margin_ = 0;
  DirectionHit best_{kNone, -std::numeric_limits<float>::infinity()};
};

void NearestDirections(const DirectionTable& t, const float* x, size_t n, DirectionHit* out) {
  for (size_t v = 0; v < n; ++v, x += t.dim) {
    switch (t.dim) {
      case 2:
        out[v] = Search<2>(t, x).run();
        break;
      case 4:
        out[v] = Search<4>(t, x).run();
        break;
      case 8:
        out[v] = Search<8>(t, x).run();
        break;
      default:
        out[v] = Search<16>(t, x).run();
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <numeric>

#include "base/check.h"
#include "base/parallel.h"

namespace occ {
HWY_EXPORT(NearestDirections);

namespace {

constexpr size_t kLanes = DirectionTable::kLanes;
constexpr size_t kPointsPerGroup = 192, kPointsPerLeaf = 12;  // on average: fastest for 2^14 in dimension 8

double dot(const float* a, const float* b, size_t dim) {
  double sum = 0;
  for (size_t i = 0; i < dim; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// At most k compact parts, none of them empty.
std::vector<std::vector<uint32_t>> cluster(const Matrix<float>& points, const std::vector<uint32_t>& ids, size_t k) {
  const size_t dim = points.cols();
  if (k <= 1) return {ids};
  Matrix<float> centers = Matrix<float>::uninitialized(k, dim);
  for (size_t g = 0; g < k; ++g) std::copy_n(points.row(ids[g]), dim, centers.row(g));
  std::vector<std::vector<uint32_t>> parts;
  for (int round = 0; round < 4; ++round) {
    std::vector<uint32_t> nearest(ids.size());
    Matrix<float> columns = Matrix<float>::uninitialized(dim, k);
    for (size_t g = 0; g < k; ++g) {
      for (size_t i = 0; i < dim; ++i) columns(i, g) = centers(g, i);
    }
    constexpr size_t kPart = 1024;
    parallel_for(ceil_div(ids.size(), kPart), [&](size_t part) {
      std::vector<float> dots(k);
      for (size_t n = part * kPart; n < std::min(ids.size(), (part + 1) * kPart); ++n) {
        std::fill(dots.begin(), dots.end(), 0.0f);
        for (size_t i = 0; i < dim; ++i) {
          const float x = points(ids[n], i);
          for (size_t g = 0; g < k; ++g) dots[g] += x * columns(i, g);
        }
        nearest[n] = static_cast<uint32_t>(std::max_element(dots.begin(), dots.end()) - dots.begin());
      }
    });
    parts.assign(k, {});
    for (size_t n = 0; n < ids.size(); ++n) parts[nearest[n]].push_back(ids[n]);
    for (size_t g = 0; g < k; ++g) {
      if (parts[g].empty()) continue;
      std::fill_n(centers.row(g), dim, 0.0f);
      for (const uint32_t id : parts[g]) {
        for (size_t i = 0; i < dim; ++i) centers(g, i) += points(id, i);
      }
      const double length = std::sqrt(dot(centers.row(g), centers.row(g), dim));
      for (size_t i = 0; i < dim && length > 0; ++i) {
        centers(g, i) = static_cast<float>(static_cast<double>(centers(g, i)) / length);
      }
    }
  }
  std::erase_if(parts, [](const auto& p) { return p.empty(); });
  return parts;
}

}  // namespace

DirectionSearch::DirectionSearch(Matrix<float> points) : points_(std::move(points)) {
  const size_t count = points_.rows(), dim = points_.cols();
  OCC_CHECK(count > 0 && count <= (size_t{1} << 16) && (dim == 2 || dim == 4 || dim == 8 || dim == 16));
  DirectionTable& t = table_;
  t.dim = dim;
  double shortest = std::numeric_limits<double>::infinity(), longest = 0;
  for (size_t k = 0; k < count; ++k) {
    const double length = std::sqrt(dot(points_.row(k), points_.row(k), dim));
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
  }
  t.length = static_cast<float>(longest);
  t.margin = static_cast<float>(1e-5 + 2 * (1 - shortest / longest));

  std::vector<uint32_t> all(count);
  std::iota(all.begin(), all.end(), 0u);
  const std::vector<std::vector<uint32_t>> groups = cluster(points_, all, ceil_div(count, kPointsPerGroup));
  OCC_CHECK(groups.size() <= DirectionTable::kMaxGroups);
  const size_t panels = ceil_div(groups.size(), kLanes);
  for (auto [caps, rows] : {std::pair{&t.group, panels}, std::pair{&t.leaf, groups.size()}}) {
    caps->centers = Matrix<float>(rows, dim * kLanes);
    caps->cos_r.assign(rows * kLanes, 0);
    caps->sin_r.assign(rows * kLanes, 0);
  }
  t.points = Matrix<float>(ceil_div(count, kLanes) + groups.size() * kLanes, dim * kLanes);
  t.begin.assign(1, 0);
  for (const std::vector<uint32_t>& ids : groups) append_group(ids);
  for (size_t g = t.groups; g < panels * kLanes; ++g) {
    float* panel = t.group.centers.row(g / kLanes);
    for (size_t i = 0; i < dim; ++i) panel[i * kLanes + g % kLanes] = panel[i * kLanes];
  }
}

void DirectionSearch::append_group(const std::vector<uint32_t>& ids) {
  DirectionTable& t = table_;
  set_cap(t.group, t.groups, ids);
  const auto leaves = cluster(points_, ids, std::min(kLanes, ceil_div(ids.size(), kPointsPerLeaf)));
  for (size_t leaf = 0; leaf < leaves.size(); ++leaf) {
    set_cap(t.leaf, kLanes * t.groups + leaf, leaves[leaf]);
    append_leaf(leaves[leaf]);
  }
  ++t.groups;
  t.leaves.push_back(static_cast<uint32_t>(leaves.size()));
  t.begin.resize(kLanes * t.groups + 1, t.begin.back());
}

void DirectionSearch::append_leaf(const std::vector<uint32_t>& ids) {
  DirectionTable& t = table_;
  const size_t first = t.begin.back(), panels = ceil_div(ids.size(), kLanes);
  for (size_t j = 0; j < panels * kLanes; ++j) {
    const uint32_t id = ids[std::min(j, ids.size() - 1)];  // repeats the last one
    for (size_t i = 0; i < t.dim; ++i) t.points(first + j / kLanes, i * kLanes + j % kLanes) = points_(id, i);
    t.index.push_back(id);
  }
  t.begin.push_back(static_cast<uint32_t>(first + panels));
}

// Center: the mean direction, or the first point where there is none.
void DirectionSearch::set_cap(DirectionTable::Caps& caps, size_t at, std::span<const uint32_t> ids) {
  const size_t dim = table_.dim;
  std::vector<float> center(dim);
  for (const uint32_t id : ids) {
    for (size_t i = 0; i < dim; ++i) center[i] += points_(id, i);
  }
  double length = std::sqrt(dot(center.data(), center.data(), dim));
  if (!(length > 1e-3 * static_cast<double>(table_.length))) {
    std::copy_n(points_.row(ids[0]), dim, center.begin());
    length = std::sqrt(dot(center.data(), center.data(), dim));
  }
  for (float& c : center) c = static_cast<float>(static_cast<double>(c) / length * static_cast<double>(table_.length));
  double least = 1;
  for (const uint32_t id : ids) {
    const double lengths =
        std::sqrt(dot(points_.row(id), points_.row(id), dim) * dot(center.data(), center.data(), dim));
    least = std::min(least, dot(points_.row(id), center.data(), dim) / lengths);
  }
  // A radius above a right angle: never skipped, as -3 (cos + sin) <= -3.
  caps.cos_r[at] = least > 0 ? static_cast<float>(least) : -3;
  caps.sin_r[at] = least > 0 ? static_cast<float>(std::sqrt(1 - least * least)) : 3;
  float* panel = caps.centers.row(at / kLanes);
  for (size_t i = 0; i < dim; ++i) panel[i * kLanes + at % kLanes] = center[i];
}

void DirectionSearch::nearest(const float* x, size_t n, DirectionHit* out) const {
  HWY_DYNAMIC_DISPATCH(NearestDirections)(table_, x, n, out);
}

}  // namespace occ
#endif  // HWY_ONCE
