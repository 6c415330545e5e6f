#include "quantization/polar_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantization/polar_search.cc"
#include "hwy/foreach_target.h"
// foreach_target.h must be included before highway.h.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using LaneTag = hn::CappedTag<float, DirectionTable::kLanes>;
using Lanes = hn::VFromD<LaneTag>;

// For each byte, the positions of its set bits.
struct SetBits {
  constexpr SetBits() : bits() {
    for (size_t byte = 0; byte < 256; ++byte) {
      size_t count = 0;
      for (uint16_t i = 0; i < 8; ++i) {
        if (byte >> i & 1) bits[byte][count++] = i;
      }
    }
  }
  alignas(16) uint16_t bits[256][8];
};
constexpr SetBits kSetBits;

// What is known about one vector x.
struct Query {
  float square;                // |x|^2
  float cosine, sine, margin;  // parts of the bounds, computed from the best product
  DirectionHit best{std::numeric_limits<uint32_t>::max(), -std::numeric_limits<float>::infinity()};
};

template <size_t kDim>
class Search {
 public:
  HWY_INLINE Search(const DirectionTable& table, const float* x, Query& query) : t_(table), q_(query) {
    for (size_t i = 0; i < kDim; ++i) x_[i] = hn::Set(d_, x[i]);
  }

  // Scans the leaf nearest to x in the nearest group, and lists the groups that cannot be skipped. May write 8 entries
  // more.
  HWY_INLINE size_t begin(uint32_t* open) {
    HWY_ALIGN float dots[DirectionTable::kMaxGroups];
    const size_t group = nearest(t_.group.centers, 0, ceil_div(t_.groups, kLanes), dots);
    HWY_ALIGN float leaf_dots[DirectionTable::kMaxLeaves];
    const size_t first = t_.begin[group];
    scan_leaf(kLanes * first + nearest(t_.leaf.centers, first, t_.begin[group + 1], leaf_dots));
    uint32_t leaves[DirectionTable::kMaxLeaves + kLanes];
    const size_t visits = list_leaves(group, 0, leaves);
    for (size_t k = 0; k < visits; ++k) scan_leaf(kLanes * first + leaves[k]);
    size_t count = 0;
    for (size_t g = 0; g < t_.groups; g += hn::Lanes(d_)) {
      count += list_open(t_.group, g, hn::Load(d_, dots + g), static_cast<uint32_t>(g), open + count);
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
      open[kept] = open[i];
      kept += open[i] != group && open[i] < t_.groups;
    }
    return kept;
  }

  // Lists the leaves of a group that cannot be skipped, as `name` plus their number in the group. May write 8 entries
  // more.
  HWY_INLINE size_t list_leaves(size_t group, uint32_t name, uint32_t* out) const {
    const size_t first = t_.begin[group];
    size_t count = 0;
    for (size_t p = first; p < t_.begin[group + 1]; ++p) {
      for (size_t j = 0; j < kLanes; j += hn::Lanes(d_)) {
        count += list_open(t_.leaf, kLanes * p + j, near_products(t_.leaf.centers.row(p), j),
                           name + static_cast<uint32_t>(kLanes * (p - first) + j), out + count);
      }
    }
    return count;
  }

  HWY_INLINE void scan_leaf(size_t leaf) {
    for (size_t j = 0; j < kLanes; j += hn::Lanes(d_)) {
      const Lanes dots = products(t_.points.row(leaf), j);
      if (HWY_LIKELY(hn::AllFalse(d_, hn::Ge(dots, hn::Set(d_, q_.best.dot))))) continue;
      HWY_ALIGN float dot[kLanes];
      hn::Store(dots, d_, dot);
      const uint32_t* index = t_.index.data() + leaf * kLanes + j;
      for (size_t i = 0; i < hn::Lanes(d_); ++i) {
        DirectionHit& best = q_.best;
        if (dot[i] > best.dot || (dot[i] == best.dot && index[i] < best.index)) best = {index[i], dot[i]};
      }
      set_bound();
    }
  }

 private:
  static constexpr size_t kLanes = DirectionTable::kLanes;

  // Computes <x, p> for the lanes from j on. The result is the same on every target.
  HWY_INLINE Lanes products(const float* panel, size_t j) const {
    Lanes sum = hn::Mul(x_[0], hn::Load(d_, panel + j));
    for (size_t i = 1; i < kDim; ++i) sum = hn::Add(sum, hn::Mul(x_[i], hn::Load(d_, panel + kLanes * i + j)));
    return sum;
  }
  // Computes almost the same. The margin of the bounds allows for other rounding, so multiply and add are fused if that
  // is fast.
  HWY_INLINE Lanes near_products(const float* panel, size_t j) const {
    Lanes even = hn::Mul(x_[0], hn::Load(d_, panel + j)), odd = hn::Mul(x_[1], hn::Load(d_, panel + kLanes + j));
    for (size_t i = 2; i < kDim; i += 2) {
      even = hn::MulAdd(x_[i], hn::Load(d_, panel + kLanes * i + j), even);
      odd = hn::MulAdd(x_[i + 1], hn::Load(d_, panel + kLanes * (i + 1) + j), odd);
    }
    return hn::Add(even, odd);
  }
  // Finds the lane of the panels [begin, end) with the nearest center, and computes all products.
  HWY_INLINE size_t nearest(const Matrix<float>& centers, size_t begin, size_t end, float* dots) const {
    Lanes most = hn::Set(d_, -std::numeric_limits<float>::infinity());
    for (size_t p = begin; p < end; ++p) {
      for (size_t j = 0; j < kLanes; j += hn::Lanes(d_)) {
        const Lanes dot = near_products(centers.row(p), j);
        hn::Store(dot, d_, dots + kLanes * (p - begin) + j);
        most = hn::Max(most, dot);
      }
    }
    const Lanes largest = hn::MaxOfLanes(d_, most);
    size_t at = 0;
    for (;; at += hn::Lanes(d_)) {
      const auto lane = hn::FindFirstTrue(d_, hn::Eq(hn::Load(d_, dots + at), largest));
      if (lane >= 0) return at + static_cast<size_t>(lane);
    }
  }
  // Appends name + i for every cap at + i that can hold a point as near as the best one. May write 8 entries more.
  HWY_INLINE size_t list_open(const DirectionTable::Caps& caps, size_t at, Lanes dots, uint32_t name,
                              uint32_t* out) const {
    const Lanes bound = hn::Sub(hn::Sub(hn::Mul(hn::Set(d_, q_.cosine), hn::LoadU(d_, caps.cos_r.data() + at)),
                                        hn::Mul(hn::Set(d_, q_.sine), hn::LoadU(d_, caps.sin_r.data() + at))),
                                hn::Set(d_, q_.margin));
    uint8_t bits[8] = {};
    hn::StoreMaskBits(d_, hn::Ge(dots, bound), bits);
    // Uses no branches, and not the tables that hn::Compress copies with g++ 12.
    size_t count = 0;
    for (size_t b = 0; 8 * b < hn::Lanes(d_); ++b) {
      const uint16_t* set = kSetBits.bits[bits[b]];
      for (uint32_t i = 0; i < 8; ++i) out[count + i] = set[i] + name + static_cast<uint32_t>(8 * b);
      count += hwy::PopCount(uint64_t{bits[b]});
    }
    return count;
  }

  HWY_INLINE void set_bound() {
    q_.cosine = q_.best.dot;
    q_.sine = 0;
    q_.margin = std::numeric_limits<float>::infinity();
    if (q_.cosine < 0) return;  // there are few points and all are far away, so nothing may be skipped
    const float reach = std::sqrt(q_.square) * t_.length;
    q_.sine = std::sqrt(std::max(0.0f, reach * reach - q_.cosine * q_.cosine));
    q_.margin = reach * t_.margin;
  }

  const LaneTag d_;
  const DirectionTable& t_;
  Query& q_;
  Lanes x_[kDim];
};

// Searches a batch of vectors x group by group, so that the points of a group stay in the first-level cache. In each
// group it first lists all leaves to visit and then visits them, so that few branches depend on the data.
constexpr size_t kBatch = 128;
template <size_t kDim>
void NearestBatch(const DirectionTable& t, const float* x, size_t n, DirectionHit* out) {
  Query queries[kBatch];
  uint8_t list[DirectionTable::kMaxGroups][kBatch];
  uint8_t count[DirectionTable::kMaxGroups] = {};
  for (size_t v = 0; v < n; ++v) {
    queries[v].square = 0;
    for (size_t i = 0; i < kDim; ++i) queries[v].square += x[v * kDim + i] * x[v * kDim + i];
    if (!(queries[v].square > 1e-30f)) {
      queries[v].best = {0, 0};
      continue;
    }
    uint32_t open[DirectionTable::kMaxGroups + DirectionTable::kLanes];
    const size_t groups = Search<kDim>(t, x + v * kDim, queries[v]).begin(open);
    for (size_t i = 0; i < groups; ++i) list[open[i]][count[open[i]]++] = static_cast<uint8_t>(v);
  }
  constexpr size_t kVisits = 2048;
  // The upper half of an entry is the number of x.
  uint32_t visits[kVisits + DirectionTable::kMaxLeaves + DirectionTable::kLanes];
  for (size_t g = 0; g < t.groups; ++g) {
    const size_t first = DirectionTable::kLanes * t.begin[g];
    for (size_t i = 0; i < count[g];) {
      size_t open = 0;
      for (; i < count[g] && open < kVisits; ++i) {
        const uint32_t v = list[g][i];
        open += Search<kDim>(t, x + v * kDim, queries[v]).list_leaves(g, v << 16, visits + open);
      }
      for (size_t k = 0; k < open; ++k) {
        const uint32_t v = visits[k] >> 16;
        Search<kDim>(t, x + v * kDim, queries[v]).scan_leaf(first + (visits[k] & 0xffff));
      }
    }
  }
  for (size_t v = 0; v < n; ++v) out[v] = queries[v].best;
}

void NearestDirections(const DirectionTable& t, const float* x, size_t n, DirectionHit* out) {
  for (size_t v = 0; v < n; v += kBatch) {
    const size_t count = std::min(kBatch, n - v);
    switch (t.dim) {
      case 2:
        NearestBatch<2>(t, x + v * 2, count, out + v);
        break;
      case 4:
        NearestBatch<4>(t, x + v * 4, count, out + v);
        break;
      case 8:
        NearestBatch<8>(t, x + v * 8, count, out + v);
        break;
      default:
        NearestBatch<16>(t, x + v * 16, count, out + v);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <numeric>

#include "base/check.h"

namespace occ {
HWY_EXPORT(NearestDirections);

namespace {

constexpr size_t kLanes = DirectionTable::kLanes;
constexpr size_t kPointsPerGroup = 160;  // average number; fastest for 2^14 points in dimension 8

double dot(const float* a, const float* b, size_t dim) {
  double sum = 0;
  for (size_t i = 0; i < dim; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// Divides points into at most k compact parts, none of them empty.
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

// Splits points into leaves of at most kLanes points.
void split_into_leaves(const Matrix<float>& points, const std::vector<uint32_t>& ids,
                       std::vector<std::vector<uint32_t>>* out) {
  if (ids.size() <= kLanes) return out->push_back(ids);
  std::vector<std::vector<uint32_t>> parts = cluster(points, ids, ceil_div(ids.size(), kLanes * 3 / 4));
  if (parts.size() == 1) {  // all points are equal
    const auto middle = ids.begin() + static_cast<ptrdiff_t>(ids.size() / 2);
    parts = {{ids.begin(), middle}, {middle, ids.end()}};
  }
  for (const std::vector<uint32_t>& part : parts) split_into_leaves(points, part, out);
}

// Computes the cap of each part. The center is the mean direction, or the first point if the mean is zero. Parts that
// fill up a panel by repeating its first part are never visited: they get cos r = 2.
DirectionTable::Caps caps_of(const Matrix<float>& points, const std::vector<std::vector<uint32_t>>& parts,
                             double length) {
  const size_t dim = points.cols(), panels = ceil_div(parts.size(), kLanes);
  DirectionTable::Caps caps{Matrix<float>(panels, dim * kLanes), {}, {}};
  caps.cos_r.resize(panels * kLanes);
  caps.sin_r.resize(panels * kLanes);
  for (size_t at = 0; at < parts.size(); ++at) {
    const std::vector<uint32_t>& ids = parts[at];
    std::vector<float> center(dim);
    for (const uint32_t id : ids) {
      for (size_t i = 0; i < dim; ++i) center[i] += points(id, i);
    }
    double norm = std::sqrt(dot(center.data(), center.data(), dim));
    if (!(norm > 1e-3 * length)) {
      std::copy_n(points.row(ids[0]), dim, center.begin());
      norm = std::sqrt(dot(center.data(), center.data(), dim));
    }
    for (float& c : center) c = static_cast<float>(static_cast<double>(c) / norm * length);
    double least = 1;
    for (const uint32_t id : ids) {
      const double norms = std::sqrt(dot(points.row(id), points.row(id), dim)) * length;
      least = std::min(least, dot(points.row(id), center.data(), dim) / norms);
    }
    // The radius is above a right angle, so the cap must never be skipped: -3 (cos + sin) <= -3.
    caps.cos_r[at] = least > 0 ? static_cast<float>(least) : -3;
    caps.sin_r[at] = least > 0 ? static_cast<float>(std::sqrt(1 - least * least)) : 3;
    if (at % kLanes != 0 && ids == parts[at / kLanes * kLanes]) caps.cos_r[at] = 2, caps.sin_r[at] = 0;
    float* panel = caps.centers.row(at / kLanes);
    for (size_t i = 0; i < dim; ++i) panel[i * kLanes + at % kLanes] = center[i];
  }
  return caps;
}

}  // namespace

DirectionSearch::DirectionSearch(Matrix<float> points) : points_(std::move(points)) {
  const size_t count = points_.rows(), dim = points_.cols();
  OCC_CHECK(count > 0 && count <= (size_t{1} << 16) && (dim == 2 || dim == 4 || dim == 8 || dim == 16));
  double shortest = std::numeric_limits<double>::infinity(), longest = 0;
  for (size_t k = 0; k < count; ++k) {
    const double length = std::sqrt(dot(points_.row(k), points_.row(k), dim));
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
  }
  DirectionTable& t = table_;
  t.dim = dim;
  t.length = static_cast<float>(longest);
  t.margin = static_cast<float>(1e-5 + 2 * (1 - shortest / longest));

  std::vector<uint32_t> all(count);
  std::iota(all.begin(), all.end(), 0u);
  std::vector<std::vector<uint32_t>> groups = cluster(points_, all, ceil_div(count, kPointsPerGroup));
  std::vector<std::vector<uint32_t>> leaves;  // leaves of all groups; each group is filled up to whole panels
  t.begin.assign(1, 0);
  for (const std::vector<uint32_t>& group : groups) {
    const size_t first = leaves.size();
    split_into_leaves(points_, group, &leaves);
    OCC_CHECK(leaves.size() - first <= DirectionTable::kMaxLeaves);
    while (leaves.size() % kLanes != 0) leaves.push_back(leaves[leaves.size() / kLanes * kLanes]);
    t.begin.push_back(static_cast<uint32_t>(leaves.size() / kLanes));
  }
  t.groups = groups.size();
  while (groups.size() % kLanes != 0) groups.push_back(groups[groups.size() / kLanes * kLanes]);
  OCC_CHECK(groups.size() <= DirectionTable::kMaxGroups);
  t.group = caps_of(points_, groups, longest);
  t.leaf = caps_of(points_, leaves, longest);
  t.points = Matrix<float>(leaves.size(), dim * kLanes);
  for (size_t leaf = 0; leaf < leaves.size(); ++leaf) {
    for (size_t j = 0; j < kLanes; ++j) {
      // Fills up the leaf by repeating its last point.
      const uint32_t id = leaves[leaf][std::min(j, leaves[leaf].size() - 1)];
      for (size_t i = 0; i < dim; ++i) t.points(leaf, i * kLanes + j) = points_(id, i);
      t.index.push_back(id);
    }
  }
}

void DirectionSearch::nearest(const float* x, size_t n, DirectionHit* out) const {
  HWY_DYNAMIC_DISPATCH(NearestDirections)(table_, x, n, out);
}

}  // namespace occ
#endif  // HWY_ONCE
