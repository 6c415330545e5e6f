// The stage `outliers`: the values farthest from the median of their column are stored exactly, and the next stage gets
// the median in their place.
//
//   decode   x = y, then x[position] = value for every stored value, which takes 64 bits: position u32, value f32
//
// There are floor(fraction rows cols) of them, so that the shape alone tells how many. Otherwise a few values that are
// many times larger than the others would determine the scales of all, or take centroids. Cost: a selection per column.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {real_param("fraction", "0.0005", 0, 0.5, "of the values that are kept aside")};

size_t count_for(const Params& params, Shape shape) {
  return static_cast<size_t>(std::floor(params.real("fraction") * static_cast<double>(shape.size())));
}

class Outliers final : public Transform {
 public:
  // `positions` are the indices of the elements in row-major order, ascending.
  Outliers(Shape shape, std::vector<uint32_t> positions, std::vector<float> values, std::vector<float> stand_ins)
      : shape_(shape), positions_(std::move(positions)), values_(std::move(values)), stand_ins_(std::move(stand_ins)) {}

  TransformTraits traits() const override { return {.side_grows = true, .exact = false}; }
  Granule granule() const override { return {1, 1}; }

  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    copy_matrix(x, planes[0]);
    each(at, [&](size_t, size_t r, size_t c) { planes[0](r, c) = stand_ins_.empty() ? 0.0f : stand_ins_[at.col + c]; });
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    copy_matrix(planes[0], x);
    each(at, [&](size_t i, size_t r, size_t c) { x(r, c) = values_[i]; });
  }
  uint64_t resident_bytes() const override { return positions_.size() * 8; }
  void save(ByteWriter& out) const override {
    out.put_array(positions_.data(), positions_.size());
    out.put_array(values_.data(), values_.size());
  }

 private:
  // Calls body(number, row, column) for all stored values in the rectangle. Row and column are relative to the
  // rectangle.
  template <typename Body>
  void each(const Rect& at, const Body& body) const {
    if (positions_.empty() || at.rows * at.cols == 0) return;
    const uint64_t first = uint64_t{at.row} * shape_.cols, end = uint64_t{at.row + at.rows} * shape_.cols;
    auto i = static_cast<size_t>(std::lower_bound(positions_.begin(), positions_.end(), first) - positions_.begin());
    for (; i < positions_.size() && positions_[i] < end; ++i) {
      const size_t row = positions_[i] / shape_.cols, col = positions_[i] % shape_.cols;
      if (col >= at.col && col < at.col + at.cols) body(i, row - at.row, col - at.col);
    }
  }

  const Shape shape_;
  const std::vector<uint32_t> positions_;
  const std::vector<float> values_;
  const std::vector<float> stand_ins_;  // [cols] medians of the columns; encoder only
};

void check_size(Shape shape, ErrorKind kind) {
  if (shape.size() > std::numeric_limits<uint32_t>::max()) {
    throw Error(kind, fmt::format("outliers: expected at most 2^32 - 1 values, found {} x {}", shape.rows, shape.cols));
  }
}

std::unique_ptr<Transform> fit(const Params& params, MatrixView<const float> x, const FitContext&) {
  check_size(x.shape(), ErrorKind::kUsage);
  const size_t count = count_for(params, x.shape());
  std::vector<float> medians(x.cols());
  if (x.rows() > 0) {
    parallel_for(x.cols(), [&](size_t c) {
      std::vector<float> column(x.rows());
      for (size_t r = 0; r < x.rows(); ++r) column[r] = x(r, c);
      const auto middle = column.begin() + static_cast<ptrdiff_t>(x.rows() / 2);
      std::nth_element(column.begin(), middle, column.end());
      medians[c] = *middle;
    });
  }
  std::vector<uint32_t> positions(x.size());
  std::iota(positions.begin(), positions.end(), 0u);
  const auto distance = [&](uint32_t p) {
    const size_t c = p % x.cols();
    return std::abs(static_cast<double>(x(p / x.cols(), c)) - static_cast<double>(medians[c]));
  };
  std::nth_element(positions.begin(), positions.begin() + static_cast<ptrdiff_t>(count), positions.end(),
                   [&](uint32_t a, uint32_t b) {
                     const double da = distance(a), db = distance(b);
                     return da != db ? da > db : a < b;
                   });
  positions.resize(count);
  std::sort(positions.begin(), positions.end());
  std::vector<float> values;
  for (const uint32_t p : positions) values.push_back(x(p / x.cols(), p % x.cols()));
  return std::make_unique<Outliers>(x.shape(), std::move(positions), std::move(values), std::move(medians));
}

std::unique_ptr<Transform> blank(const Params& params, Shape shape) {
  const size_t count = count_for(params, shape);
  return std::make_unique<Outliers>(shape, std::vector<uint32_t>(count), std::vector<float>(count),
                                    std::vector<float>());
}

std::unique_ptr<Transform> load(const Params& params, Shape shape, ByteReader& side) {
  check_size(shape, ErrorKind::kInput);
  const size_t count = count_for(params, shape);
  if (count > side.remaining() / 8) {
    throw_input("{}: expected {} outliers, found {} bytes", side.what(), count, side.remaining());
  }
  std::vector<uint32_t> positions(count);
  std::vector<float> values(count);
  side.get_array(positions.data(), count);
  side.get_array(values.data(), count);
  for (size_t i = 0; i < count; ++i) {
    if (positions[i] >= shape.size() || (i > 0 && positions[i] <= positions[i - 1]) || !std::isfinite(values[i])) {
      throw_input("{}: expected ascending positions below {} and finite values, found {} and {}", side.what(),
                  shape.size(), positions[i], values[i]);
    }
  }
  return std::make_unique<Outliers>(shape, std::move(positions), std::move(values), std::vector<float>());
}

}  // namespace

TransformEntry outliers_entry() {
  return {"outliers", "stores the values farthest from the median of their column exactly", kParams, {}, fit, load,
          blank};
}

}  // namespace occ
