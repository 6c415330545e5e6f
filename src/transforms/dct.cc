// The stages `dct` and `dst`: the orthonormal DCT-II and DST-II of rows (axis=in) or columns (axis=out), whole or in
// blocks.
//   DCT-II  y_k = c_k sqrt(2/n) sum_j x_j cos(pi (2j+1) k / (2n)),          k = 0 .. n-1
//   DST-II  y_k = c_(n-1-k) sqrt(2/n) sum_j x_j sin(pi (2j+1) (k+1) / (2n))
// with c_0 = 1/sqrt(2) and otherwise c_k = 1. The DST is the DCT of (-1)^j x_j in reverse order. simd/dct_plan.h has
// the fast algorithm, its source and its cost. Both concentrate the energy of smooth vectors in the low k.
#include <array>

#include "simd/dct_plan.h"
#include "transforms/block_transform.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 2> kParams = {block_param(), axis_param()};

template <typename T>
void negate_odd_rows(T* panel, size_t n) {
  for (size_t i = 1; i < n; i += 2) {
    for (size_t v = 0; v < kPanelLanes; ++v) panel[i * kPanelLanes + v] = -panel[i * kPanelLanes + v];
  }
}
template <typename T>
void reverse_rows(T* panel, size_t n) {
  for (size_t i = 0; i < n / 2; ++i) {
    std::swap_ranges(panel + i * kPanelLanes, panel + (i + 1) * kPanelLanes, panel + (n - 1 - i) * kPanelLanes);
  }
}

// Transforms along columns need all rows: sampled rows are not neighbours.
std::vector<std::string> forms(const AnalyzedMatrix& m) {
  return m.sampled_rows == m.shape.rows ? std::vector<std::string>{"dct", "dct(axis=out)"}
                                        : std::vector<std::string>{"dct"};
}

}  // namespace

template <typename T, bool kSine>
class TrigPlan {
 public:
  TrigPlan(size_t n, const Params&, ErrorKind kind) : plan_(checked(n, kind)) {}
  size_t size() const { return plan_.size(); }
  size_t work_size() const { return size() * kPanelLanes + plan_.scratch_size(); }
  const T* map(T* panel, T* work, bool inverse) const {
    T* const scratch = work + size() * kPanelLanes;
    if (kSine) inverse ? reverse_rows(panel, size()) : negate_odd_rows(panel, size());
    inverse ? plan_.inverse(panel, work, scratch) : plan_.forward(panel, work, scratch);
    if (kSine) inverse ? negate_odd_rows(work, size()) : reverse_rows(work, size());
    return work;
  }

 private:
  static size_t checked(size_t n, ErrorKind kind) {
    const size_t odd = n / (n & (~n + 1));
    if (n <= DctPlan<T>::kMaxLength && odd <= DctPlan<T>::kMaxOdd) return n;
    throw Error(kind, fmt::format("{}: expects a length up to {} with an odd part up to {}, found {}",
                                  kSine ? "dst" : "dct", DctPlan<T>::kMaxLength, DctPlan<T>::kMaxOdd, n));
  }

  DctPlan<T> plan_;
};

template <typename T>
using CosinePlan = TrigPlan<T, false>;
template <typename T>
using SinePlan = TrigPlan<T, true>;

TransformEntry dct_entry() {
  return {.name = "dct",
          .summary = "discrete cosine transform (DCT-II)",
          .params = kParams,
          .planes = {},
          .fit = fit_by_shape<BlockTransform<CosinePlan>>,
          .load = load_by_shape<BlockTransform<CosinePlan>>,
          .roles = {.candidate = [](Shape, size_t, uint64_t) { return std::string("dct"); }, .forms = forms}};
}
TransformEntry dst_entry() {
  return {"dst", "discrete sine transform (DST-II)",     kParams,
          {},    fit_by_shape<BlockTransform<SinePlan>>, load_by_shape<BlockTransform<SinePlan>>};
}

}  // namespace occ
