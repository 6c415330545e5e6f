// The stage `rowscale`: y_r = x_r / s_r with a scale s_r for every row. The division is by the stored scale. A row of
// zeros has the scale 0 and decodes to zeros. A scale is stored as bf16 (16 / cols bits per weight) or, with steps = n,
// as the integer nearest to n log2 of it, range-coded in about 2 + log2 n + log2 of their deviation in octaves bits.
// Where a step of one size follows, rounding the scales costs .058 / n^2 bits per weight (a Gaussian with steps that
// deviate uniformly by up to 1 / 2n octaves), so that n^2 = .08 cols is the best there is: scale_steps().
//   by=rms      s_r is the rms of row r
//   by=weight   s_r = 1 / sqrt(w_r), where w_r is the cost of squared errors in row r. The next stage quantizes y with
//               one step for all rows, so that the error of each row suits its cost (reverse water-filling over the
//               rows). Without costs s_r = 1.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/range_coder.h"
#include "tensor/bf16_scales.h"
#include "tensor/octave_scales.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr float kMostScale = 0x1p40f;
// Factor for finer steps, because fine-tuning moves scales by a few percent. On stories260k at 3 bits (cols = 64) the
// KL is .826 with 2 steps per octave, .805 with 8, .825 with 16 and .838 with 64.
constexpr double kTuned = 3;

constexpr std::array kParams = {
    choice_param("by", "rms", "rms|weight", "rms of the rows, or weights of their errors"),
    int_param("steps", "0", 0, kOctaveCodes, "of a scale per octave: a power of two; 0: bf16"),
};

int steps_of(const Params& params) {
  const auto steps = static_cast<int>(params.integer("steps"));
  if ((steps & (steps - 1)) != 0) throw_usage("rowscale: expected a power of two as steps, found {}", steps);
  return steps;
}

// Returns the scale nearest to `scale` that can be stored.
float storable(double scale, int steps, int limit = kMaxScaleCode) {
  if (!(scale > 0)) return 0;
  if (steps != 0) return octave_scale(octave_code_near(scale, kOctaveCodes / steps));
  return scale_of(std::clamp(scale_code_near(scale), 1, limit));
}

void put(const std::vector<float>& scales, int steps, ByteWriter& out) {
  if (steps == 0) return put_scales(scales, out);
  RangeEncoder coded;
  const bool zeros = std::find(scales.begin(), scales.end(), 0.0f) != scales.end();
  coded.put_raw(zeros ? 1 : 0, 1);
  AdaptiveBit is_zero;
  std::vector<int32_t> codes;
  for (const float s : scales) {
    if (zeros) coded.put(is_zero, s == 0);
    if (s != 0) codes.push_back(octave_code_near(static_cast<double>(s), kOctaveCodes / steps) * steps / kOctaveCodes);
  }
  put_integers(codes, coded);
  out.put_bytes(coded.take());
}

std::vector<float> get(size_t rows, int steps, ByteReader& side) {
  if (steps == 0) return get_scales(rows, side);
  RangeDecoder coded(side);
  coded.expect_room_for(rows);
  std::vector<float> scales(rows, 1.0f);
  size_t left = rows;
  if (coded.get_raw(1) != 0) {
    AdaptiveBit is_zero;
    for (float& s : scales) {
      if (coded.get(is_zero)) s = 0, --left;
    }
  }
  std::vector<int32_t> codes(left);
  get_integers(codes, coded);
  coded.expect_done();
  const int most = kMostOctaveCode / kOctaveCodes * steps;
  auto code = codes.begin();
  for (float& s : scales) {
    if (s == 0) continue;
    if (*code < -most || *code > most) {
      throw_input("{}: expected scales from 2^-120 to 2^120, found 2^({} / {})", side.what(), *code, steps);
    }
    s = octave_scale(*code++ * (kOctaveCodes / steps));
  }
  return scales;
}

class RowScale final : public Transform {
 public:
  RowScale(std::vector<float> scales, int steps) : scales_(std::move(scales)), steps_(steps) {}
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
  // Scaling does not change the direction of a row, so the second moments of the inputs stay the same.
  void transform_hessian(MatrixView<double>) const override {}
  double error_gain(size_t row) const override {
    const double scale = scales_[row];
    return scale * scale;
  }
  uint64_t resident_bytes() const override { return scales_.size() * sizeof(float); }
  void save(ByteWriter& out) const override { put(scales_, steps_, out); }

 private:
  std::vector<float> scales_;  // exactly as they are stored
  int steps_;
};

std::vector<float> scales_by_weight(size_t rows, std::span<const double> weights, int steps) {
  std::vector<float> scales(rows, 1.0f);
  if (weights.empty()) return scales;
  OCC_CHECK(weights.size() == rows);
  for (size_t r = 0; r < rows; ++r) {
    const double scale = weights[r] > 0 ? 1 / std::sqrt(weights[r]) : double{kMostScale};
    scales[r] = storable(std::clamp(scale, 1 / double{kMostScale}, double{kMostScale}), steps);
  }
  return scales;
}

std::unique_ptr<Transform> fit(const Params& params, MatrixView<const float> x, const FitContext& ctx) {
  const int steps = steps_of(params);
  if (params.choice("by") == "weight") {
    return std::make_unique<RowScale>(scales_by_weight(x.rows(), ctx.row_weights, steps), steps);
  }
  std::vector<float> scales = rms_scales(x);
  for (float& s : scales) s = storable(static_cast<double>(s), steps);
  return std::make_unique<RowScale>(std::move(scales), steps);
}

std::unique_ptr<Transform> load(const Params& params, Shape shape, ByteReader& side) {
  const int steps = steps_of(params);
  return std::make_unique<RowScale>(get(shape.rows, steps, side), steps);
}

// Returns a power of two near `finer` times the number of steps per octave that takes the fewest bits for a given loss
// (see above).
int scale_steps(Shape shape, double finer) {
  const double best = finer * std::sqrt(0.08 * static_cast<double>(shape.cols));
  return 1 << std::clamp(static_cast<int>(std::lrint(std::log2(std::max(best, 1.0)))), 1, 6);
}

Bytes scale_rows(const Params& params, ByteSpan side, std::span<const float> factors, size_t most,
                 const std::string& what) {
  const int steps = steps_of(params);
  ByteReader reader(side, what);
  const std::vector<float> before = get(factors.size(), steps, reader);
  reader.expect_done();
  // The rows whose scales change least come first. As many are changed as there is room for.
  std::vector<size_t> order;
  std::vector<float> wanted = before;
  for (size_t r = 0; r < before.size(); ++r) {
    wanted[r] = storable(static_cast<double>(before[r]) * static_cast<double>(factors[r]), steps);
    if (wanted[r] != before[r]) order.push_back(r);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::fabs(std::log(factors[a])) < std::fabs(std::log(factors[b]));
  });
  const auto changed = [&](size_t count) {
    std::vector<float> scales = before;
    for (size_t i = 0; i < count; ++i) scales[order[i]] = wanted[order[i]];
    ByteWriter out;
    put(scales, steps, out);
    return out.take();
  };
  Bytes best = changed(order.size());
  for (size_t low = 0, high = order.size(); best.size() > most && high - low > 1;) {
    const size_t middle = low + (high - low) / 2;
    Bytes tried = changed(middle);
    (tried.size() > most ? high : low) = middle;
    if (tried.size() <= most) best = std::move(tried);
  }
  if (best.size() > most) best.assign(side.begin(), side.end());
  return best;
}

}  // namespace

TransformEntry rowscale_entry() {
  return {.name = "rowscale",
          .summary = "divides rows by their rms, or by what their errors may cost",
          .params = kParams,
          .planes = {},
          .fit = fit,
          .load = load,
          .roles = {
              .candidate = [](Shape shape, size_t,
                              uint64_t) { return fmt::format("rowscale(steps={})", scale_steps(shape, 1)); },
              .unit_rms = true,
              .by_row_weights =
                  [](Shape shape) { return fmt::format("rowscale(by=weight, steps={})", scale_steps(shape, kTuned)); },
              .scale_rows = scale_rows,
              .forms = [](const AnalyzedMatrix&) { return std::vector<std::string>{"rowscale"}; }}};
}

}  // namespace occ
