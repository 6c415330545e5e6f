// rowscale: y_r = x_r / s_r, s_r stored as bf16 (16 / cols bits per weight). The division is by the stored scale. A row
// of zeros has scale 0 and decodes to zeros.
//   by=rms      s_r is the rms of row r
//   by=weight   s_r = 1 / sqrt(w_r) for the weights w of the squared errors of the rows: what follows quantizes y with
//               one step, so that every row errs as much as its weight allows (reverse water-filling over the rows).
//               Without weights s_r = 1.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "tensor/dtype.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr uint16_t kLargestBf16 = 0x7f7f;
constexpr float kMostScale = 0x1p40f;

constexpr std::array kParams = {choice_param("by", "rms", "rms|weight", "rms of the rows, or weights of their errors")};

class RowScale final : public Transform {
 public:
  explicit RowScale(std::vector<uint16_t> scales) : scales_(std::move(scales)) {}
  TransformTraits traits() const override { return {.linear = true, .maps_columns = true}; }
  Granule granule() const override { return {1, 1}; }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      const float scale = bf16_to_f32(scales_[at.row + r]);
      const float* from = x.row(r);
      float* to = planes[0].row(r);
      for (size_t c = 0; c < x.cols(); ++c) to[c] = scale == 0 ? 0 : from[c] / scale;
    }
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      const float scale = bf16_to_f32(scales_[at.row + r]);
      const float* from = planes[0].row(r);
      float* to = x.row(r);
      for (size_t c = 0; c < x.cols(); ++c) to[c] = scale == 0 ? 0 : from[c] * scale;
    }
  }
  void adjoint(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    const MatrixView<const float> from[] = {x};
    inverse(at, from, planes[0]);
  }
  // A row keeps its direction, so the second moments of the inputs stay what they are.
  void transform_hessian(MatrixView<double>) const override {}
  double error_gain(size_t row) const override {
    const double scale = bf16_to_f32(scales_[row]);
    return scale * scale;
  }
  uint64_t resident_bytes() const override { return scales_.size() * sizeof(uint16_t); }
  void save(ByteWriter& out) const override { out.put_array(scales_.data(), scales_.size()); }

 private:
  std::vector<uint16_t> scales_;
};

// Eight sums side by side, so that compilers vectorise; doubles hold the square of any float.
double mean_square(const float* x, size_t n) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t k = 0; k < 8; ++k) sums[k] += double{x[i + k]} * double{x[i + k]};
  }
  for (; i < n; ++i) sums[0] += double{x[i]} * double{x[i]};
  double total = 0;
  for (const double s : sums) total += s;
  return total / static_cast<double>(n);
}

std::vector<uint16_t> scales_by_weight(size_t rows, std::span<const double> weights) {
  std::vector<uint16_t> scales(rows, f32_to_bf16(1.0f));
  if (weights.empty()) return scales;
  OCC_CHECK(weights.size() == rows);
  for (size_t r = 0; r < rows; ++r) {
    const double scale = weights[r] > 0 ? 1 / std::sqrt(weights[r]) : double{kMostScale};
    scales[r] = f32_to_bf16(std::clamp(static_cast<float>(scale), 1 / kMostScale, kMostScale));
  }
  return scales;
}

std::unique_ptr<Transform> fit(const Params& params, MatrixView<const float> x, const FitContext& ctx) {
  if (params.choice("by") == "weight") {
    return std::make_unique<RowScale>(scales_by_weight(x.rows(), ctx.row_weights));
  }
  std::vector<uint16_t> scales(x.rows());
  for (size_t r = 0; r < x.rows() && x.cols() != 0; ++r) {
    const double rms = std::sqrt(mean_square(x.row(r), x.cols()));
    // The rms is at most the largest float, but its bf16 may be infinity; and the smallest rms must not become zero.
    scales[r] = std::min(f32_to_bf16(static_cast<float>(rms)), kLargestBf16);
    if (scales[r] == 0 && rms > 0) scales[r] = 1;
  }
  return std::make_unique<RowScale>(std::move(scales));
}

std::unique_ptr<Transform> load(const Params&, Shape shape, ByteReader& side) {
  if (shape.rows > side.remaining() / sizeof(uint16_t)) {
    throw_input("{}: rowscale expects {} scales, found {} bytes", side.what(), shape.rows, side.remaining());
  }
  std::vector<uint16_t> scales(shape.rows);
  side.get_array(scales.data(), scales.size());
  for (size_t r = 0; r < scales.size(); ++r) {
    if (scales[r] > kLargestBf16) {
      throw_input("{}: rowscale expects a finite scale >= 0, found {} in row {}", side.what(), bf16_to_f32(scales[r]),
                  r);
    }
  }
  return std::make_unique<RowScale>(std::move(scales));
}

}  // namespace

TransformEntry rowscale_entry() {
  return {"rowscale", "rows divided by their rms, or by what their errors may be", kParams, {}, fit, load};
}

}  // namespace occ
