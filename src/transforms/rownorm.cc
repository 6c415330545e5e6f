// rownorm: y_r = x_r / s_r, s_r the rms of row r, stored as f32; and after decoding rows get that rms back:
//   x'_r = y'_r s_r / rms(y'_r)
// so that of a row only its direction errs. With |x - x'|^2 = 2 |x|^2 (1 - cos) the best code for the error is then the
// best for the cosine, and the mean cosine is about sqrt(1 - D) for a code of error D: CPQ, cosine-preserving codes for
// embeddings. 32 / cols bits per weight. Renormalising costs error where it is the error that counts (D = 1 - cos^2
// before, 2 (1 - cos) after). Not linear: no error feedback behind it.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

#include "transforms/axis.h"

namespace occ {
namespace {

// Eight sums side by side, then added in order: part of the format.
double mean_square(const float* x, size_t n) {
  double sums[8] = {};
  for (size_t i = 0; i < n; ++i) sums[i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double total = 0;
  for (const double s : sums) total += s;
  return total / static_cast<double>(n);
}

class RowNorm final : public Transform {
 public:
  explicit RowNorm(std::vector<float> scales) : scales_(std::move(scales)) {}
  TransformTraits traits() const override { return {}; }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      const float scale = scales_[at.row + r];
      for (size_t c = 0; c < x.cols(); ++c) planes[0](r, c) = scale == 0 ? 0 : x(r, c) / scale;
    }
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    for (size_t r = 0; r < x.rows() && x.cols() != 0; ++r) {
      const float* from = planes[0].row(r);
      const double square = mean_square(from, x.cols());
      const double wanted = square > 0 ? static_cast<double>(scales_[at.row + r]) / std::sqrt(square) : 0;
      const auto factor = static_cast<float>(std::min(wanted, static_cast<double>(FLT_MAX)));
      for (size_t c = 0; c < x.cols(); ++c) x(r, c) = std::clamp(from[c] * factor, -FLT_MAX, FLT_MAX);
    }
  }
  uint64_t resident_bytes() const override { return scales_.size() * sizeof(float); }
  void save(ByteWriter& out) const override { out.put_array(scales_.data(), scales_.size()); }

 private:
  std::vector<float> scales_;
};

std::unique_ptr<Transform> fit(const Params&, MatrixView<const float> x, const FitContext&) {
  std::vector<float> scales(x.rows());
  for (size_t r = 0; r < x.rows() && x.cols() != 0; ++r) {
    scales[r] = static_cast<float>(std::min(std::sqrt(mean_square(x.row(r), x.cols())), static_cast<double>(FLT_MAX)));
  }
  return std::make_unique<RowNorm>(std::move(scales));
}

std::unique_ptr<Transform> load(const Params&, Shape shape, ByteReader& side) {
  if (shape.rows > side.remaining() / sizeof(float)) {
    throw_input("{}: rownorm expects {} scales, found {} bytes", side.what(), shape.rows, side.remaining());
  }
  std::vector<float> scales(shape.rows);
  side.get_array(scales.data(), scales.size());
  for (size_t r = 0; r < scales.size(); ++r) {
    if (!(scales[r] >= 0 && scales[r] <= FLT_MAX)) {
      throw_input("{}: rownorm expects a finite scale >= 0, found {} in row {}", side.what(), scales[r], r);
    }
  }
  return std::make_unique<RowNorm>(std::move(scales));
}

}  // namespace

TransformEntry rownorm_entry() {
  return {"rownorm", "rows of rms 1, which decode to their exact rms again", {}, {}, fit, load};
}

}  // namespace occ
