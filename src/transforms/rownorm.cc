// The stage `rownorm`: divides every row by its rms s_r, which is stored as f32, and gives decoded rows this rms again,
//   y_r = x_r / s_r,   x'_r = y'_r s_r / rms(y'_r)
// so that only the direction of a row has an error. Then |x - x'|^2 = 2 |x|^2 (1 - cos), and the code that is best for
// the error is also best for the cosine; the mean cosine is about sqrt(1 - D) for a code with the relative error D
// (CPQ, cosine-preserving quantization of embeddings). It costs 32 / cols bits per weight, and the squared error grows:
// it is 2 (1 - cos) instead of 1 - cos^2 of the energy. The transform is not linear, so that no error feedback is
// possible behind it.
//   keep=norm     as described
//   keep=product  s_r becomes rms / cos(x_r, x'_r) when x'_r is known, so that <x_r, x'_r> = |x_r|^2 and products of
//                 exact vectors with decoded ones have no bias (over random signs). Cosines below 1/16 are taken as
//                 1/16.
#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <vector>

#include "tensor/bf16_scales.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr std::array kParams = {
    choice_param("keep", "norm", "norm|product", "what decoded rows share with rows: |x|^2, or <x, x'> with |x|^2"),
};

class RowNorm final : public Transform {
 public:
  // `norms` has the rms of the rows. Only for an encoder with keep=product.
  explicit RowNorm(std::vector<float> scales, std::vector<float> norms = {})
      : scales_(std::move(scales)), norms_(std::move(norms)) {}
  TransformTraits traits() const override { return {.settles = !norms_.empty(), .side_grows = true}; }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      const float scale = norms_.empty() ? scales_[at.row + r] : norms_[at.row + r];
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
  void settle(const Rect& at, std::span<const MatrixView<const float>> coded,
              std::span<const MatrixView<const float>> decoded) override {
    constexpr double kLeastCosine = 1.0 / 16;
    for (size_t r = 0; r < at.rows; ++r) {
      const float *y = coded[0].row(r), *d = decoded[0].row(r);
      double yy = 0, yd = 0, dd = 0;
      for (size_t c = 0; c < at.cols; ++c) {
        yy += double{y[c]} * double{y[c]};
        yd += double{y[c]} * double{d[c]};
        dd += double{d[c]} * double{d[c]};
      }
      const double cosine = yy > 0 && dd > 0 ? std::max(yd / std::sqrt(yy) / std::sqrt(dd), kLeastCosine) : 1;
      scales_[at.row + r] =
          static_cast<float>(std::min(double{norms_[at.row + r]} / cosine, static_cast<double>(FLT_MAX)));
    }
  }
  uint64_t resident_bytes() const override { return scales_.size() * sizeof(float); }
  void save(ByteWriter& out) const override { out.put_array(scales_.data(), scales_.size()); }

 private:
  std::vector<float> scales_, norms_;
};

std::unique_ptr<Transform> fit(const Params& params, MatrixView<const float> x, const FitContext&) {
  std::vector<float> scales(x.rows());
  for (size_t r = 0; r < x.rows() && x.cols() != 0; ++r) {
    scales[r] = static_cast<float>(std::min(std::sqrt(mean_square(x.row(r), x.cols())), static_cast<double>(FLT_MAX)));
  }
  std::vector<float> norms;
  if (params.choice("keep") == "product") norms = scales;
  return std::make_unique<RowNorm>(std::move(scales), std::move(norms));
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
  return {"rownorm", "divides rows by their rms, which decoded rows get back exactly", kParams, {}, fit, load};
}

}  // namespace occ
