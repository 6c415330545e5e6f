// The stage `rowscale`: y_r = x_r / s_r with a scale s_r for every row, stored as bf16 (16 / cols bits per weight). The
// division is by the stored scale. A row of zeros has the scale 0 and decodes to zeros.
//   by=rms      s_r is the rms of row r
//   by=weight   s_r = 1 / sqrt(w_r), where w_r is the cost of squared errors in row r. The next stage quantizes y with
//               one step for all rows, so that the error of each row suits its cost (reverse water-filling over the
//               rows). Without costs s_r = 1.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "tensor/bf16_scales.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr float kMostScale = 0x1p40f;

constexpr std::array kParams = {choice_param("by", "rms", "rms|weight", "rms of the rows, or weights of their errors")};

class RowScale final : public Transform {
 public:
  explicit RowScale(std::vector<float> scales) : scales_(std::move(scales)) {}
  TransformTraits traits() const override { return {.linear = true, .side_grows = true, .maps_columns = true}; }
  Granule granule() const override { return {1, 1}; }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      const float scale = scales_[at.row + r];
      const float* from = x.row(r);
      float* to = planes[0].row(r);
      for (size_t c = 0; c < x.cols(); ++c) to[c] = scale == 0 ? 0 : from[c] / scale;
    }
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      const float scale = scales_[at.row + r];
      const float* from = planes[0].row(r);
      float* to = x.row(r);
      for (size_t c = 0; c < x.cols(); ++c) to[c] = scale == 0 ? 0 : from[c] * scale;
    }
  }
  void adjoint(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    const MatrixView<const float> from[] = {x};
    inverse(at, from, planes[0]);
  }
  // A row keeps its direction, so the second moments of the inputs do not change.
  void transform_hessian(MatrixView<double>) const override {}
  double error_gain(size_t row) const override {
    const double scale = scales_[row];
    return scale * scale;
  }
  uint64_t resident_bytes() const override { return scales_.size() * sizeof(float); }
  void save(ByteWriter& out) const override { put_scales(scales_, out); }

 private:
  std::vector<float> scales_;  // exactly bf16
};

std::vector<float> scales_by_weight(size_t rows, std::span<const double> weights) {
  std::vector<float> scales(rows, 1.0f);
  if (weights.empty()) return scales;
  OCC_CHECK(weights.size() == rows);
  for (size_t r = 0; r < rows; ++r) {
    const double scale = weights[r] > 0 ? 1 / std::sqrt(weights[r]) : double{kMostScale};
    scales[r] = stored_scale(std::clamp(static_cast<float>(scale), 1 / kMostScale, kMostScale), kMaxScaleCode);
  }
  return scales;
}

std::unique_ptr<Transform> fit(const Params& params, MatrixView<const float> x, const FitContext& ctx) {
  if (params.choice("by") == "weight") {
    return std::make_unique<RowScale>(scales_by_weight(x.rows(), ctx.row_weights));
  }
  return std::make_unique<RowScale>(rms_scales(x));
}

std::unique_ptr<Transform> load(const Params&, Shape shape, ByteReader& side) {
  return std::make_unique<RowScale>(get_scales(shape.rows, side));
}

}  // namespace

TransformEntry rowscale_entry() {
  return {.name = "rowscale",
          .summary = "divides rows by their rms, or by what their errors may cost",
          .params = kParams,
          .planes = {},
          .fit = fit,
          .load = load,
          .roles = {.candidate = [](Shape, size_t, uint64_t) { return std::string("rowscale"); },
                    .unit_rms = true,
                    .by_row_weights = "rowscale(by=weight)",
                    .stores_row_scales = true}};
}

}  // namespace occ
