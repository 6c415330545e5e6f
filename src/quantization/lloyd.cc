#include "quantization/lloyd.h"

#include <array>
#include <cfloat>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "quantization/lloyd_kernels.h"
#include "quantization/lloyd_levels.h"
#include "quantization/make.h"
#include "quantization/scale_grid.h"
#include "quantization/uniform_kernels.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    int_param("bits", "2", 1, 8, "bits per code"),
    choice_param("codebook", "gaussian", "gaussian|fitted", "levels of the normal density, or the best for the tensor"),
    kPerParam,
    kGroupParam,
};
constexpr std::string_view kPlanes[] = {"codes"};

LloydSums sums_of_line(const LevelSearch& levels, MatrixView<const float> x, float scale) {
  LloydSums total;
  LinePanels(x).reduce<LloydSums>([&](auto panel) { return lloyd_sums(levels, panel, scale); },
                                  [&](const LloydSums& s) {
                                    total.tt += s.tt;
                                    total.tl += s.tl;
                                    total.ll += s.ll;
                                  });
  return total;
}

// Returns the root mean square of a line, computed without overflow.
double line_rms(const LevelSearch& levels, MatrixView<const float> x) {
  if (x.size() == 0) return 0;
  float largest = 0;
  LinePanels(x).reduce<LineRange>([](auto panel) { return line_range(panel); },
                                  [&](const LineRange& r) {
                                    largest = std::max({largest, r.max, -r.min});
                                  });
  if (largest == 0) return 0;
  const double mean_square = sums_of_line(levels, x, largest).tt / static_cast<double>(x.size());
  return static_cast<double>(largest) * std::sqrt(mean_square);
}

// Returns the scale with the least squared error for a line, alternating between assignment and least squares from
// several starts.
float fit_scale(const LevelSearch& levels, MatrixView<const float> x, double start, int limit) {
  int best = 0;
  double best_error = std::numeric_limits<double>::infinity();
  for (const double factor : {1.0, 0.8, 1.25}) {
    int code = std::clamp(scale_code_near(start * factor), 1, limit);
    for (int round = 0; round < 4; ++round) {
      const double scale = static_cast<double>(scale_of(code));
      const LloydSums s = sums_of_line(levels, x, scale_of(code));
      const double error = (s.tt - 2 * s.tl + s.ll) * scale * scale;
      if (error < best_error) best = code, best_error = error;
      if (s.ll <= 0) break;
      const int next = std::clamp(scale_code_near(scale * (s.tl / s.ll)), 1, limit);
      if (next == code) break;
      code = next;
    }
  }
  return scale_of(best);
}

// Fits levels to one plane. Values are weighted by scale^2, so that the squared error of the plane is minimised.
class LevelFit {
 public:
  LevelFit(const ScaleGrid& grid, MatrixView<const float> x, const std::vector<float>& scales)
      : grid_(grid), x_(x), scales_(scales) {
    // There are few panels, because each has its own sums. Their size depends only on the shape.
    const size_t least = ceil_div(size_t{1} << 16, std::max<size_t>(1, x.cols()));
    panel_rows_ = std::max({size_t{1}, least, ceil_div(x.rows(), 64)});
    weights_.resize(scales.size());
    set_weights();
  }

  void set_weights() {
    float largest = 0;
    for (const float s : scales_) largest = std::max(largest, s);
    for (size_t i = 0; i < scales_.size(); ++i) {
      const double w = largest > 0 ? static_cast<double>(scales_[i]) / static_cast<double>(largest) : 0;
      weights_[i] = w * w;
    }
  }

  // Returns the best levels for a histogram whose cells are evenly spaced in t / (4 + |t|). The cells are .002 wide at
  // t = 0, .008 at t = 4, and about t^2 / 8,192 for large t.
  std::vector<double> histogram_levels(const LevelSearch& any, size_t count) const {
    constexpr size_t kCells = 4096;
    const Sums total = sum(any, kCells, [](float t, Symbol) {
      const float u = t / (4 + std::abs(t));
      return static_cast<size_t>(std::clamp((u + 1) * (0.5f * kCells), 0.0f, static_cast<float>(kCells - 1)));
    });
    return best_levels(total.weight, total.sum, count);
  }

  // Moves every level to the mean of its elements. A level without elements does not move.
  void centroid_levels(const LevelSearch& old, std::vector<double>& levels) const {
    const Sums total = sum(old, levels.size(), [](float, Symbol q) { return size_t{q}; });
    for (size_t i = 0; i < levels.size(); ++i) {
      if (total.weight[i] > 0) levels[i] = total.sum[i] / total.weight[i];
    }
    std::sort(levels.begin(), levels.end());
  }

 private:
  struct Sums {
    std::vector<double> weight, sum;
  };

  template <typename Cell>
  Sums sum(const LevelSearch& search, size_t cells, Cell cell) const {
    const size_t cols = x_.cols();
    std::vector<Sums> parts(ceil_div(x_.rows(), panel_rows_));
    parallel_for(parts.size(), [&](size_t task) {
      Sums& part = parts[task];
      part.weight.resize(cells);
      part.sum.resize(cells);
      std::vector<float> t(cols);
      std::vector<Symbol> q(cols);
      for (size_t r = task * panel_rows_; r < std::min(x_.rows(), (task + 1) * panel_rows_); ++r) {
        lloyd_assign(search, grid_.window({r, 0, 1, cols}, scales_.data()), x_.row_range(r, 1), t.data(), q.data());
        const double* weights = weights_.data() + grid_.index(r, 0);
        for (size_t begin = 0, i = 0; begin < cols; begin += grid_.group, ++i) {
          const double weight = weights[i];
          if (weight == 0) continue;  // the values of this group are all zero
          for (size_t c = begin; c < std::min(cols, begin + grid_.group); ++c) {
            const size_t at = cell(t[c], q[c]);
            part.weight[at] += weight;
            part.sum[at] += weight * static_cast<double>(t[c]);
          }
        }
      }
    });
    Sums total{std::vector<double>(cells), std::vector<double>(cells)};
    for (const Sums& part : parts) {
      for (size_t i = 0; i < cells; ++i) {
        total.weight[i] += part.weight[i];
        total.sum[i] += part.sum[i];
      }
    }
    return total;
  }

  const ScaleGrid& grid_;
  const MatrixView<const float> x_;
  const std::vector<float>& scales_;
  std::vector<double> weights_;
  size_t panel_rows_ = 1;
};

class LloydQuantizer final : public Quantizer {
 public:
  LloydQuantizer(const Params& params, Shape shape, ErrorKind)
      : grid_(make_scale_grid(params, shape)), bits_(static_cast<unsigned>(params.integer("bits"))) {}

  void fit(const Params& params, MatrixView<const float> x, const FitContext&) {
    set_levels(gaussian_levels(bits_));
    scales_.resize(grid_.count);
    if (params.choice("codebook") == "gaussian") {
      fit_scales(x, true);
      return;
    }
    for_each_line(grid_, x, [&](const ScaleLine& line) {
      scales_[line.index] = scale_of(std::min(scale_code_near(line_rms(levels_, line.x)), max_code()));
    });
    LevelFit level_fit(grid_, x, scales_);
    std::vector<double> levels = level_fit.histogram_levels(levels_, levels_.count);
    set_levels(levels);
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 3; ++i) {
        level_fit.centroid_levels(levels_, levels);
        set_levels(levels);
      }
      fit_scales(x, false);
      level_fit.set_weights();
    }
  }

  void load(ByteReader& side) {
    std::array<float, LevelSearch::kMaxLevels> levels;
    const size_t count = size_t{1} << bits_;
    get_levels({levels.data(), count}, -LevelSearch::kMaxLevel, LevelSearch::kMaxLevel, side);
    levels_.set_levels({levels.data(), count});
    scales_ = get_scales(grid_.count, side, max_code());
  }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "codes", .rows = grid_.shape.rows, .cols = grid_.shape.cols, .alphabet = uint32_t{1} << bits_}};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 1 && values.shape() == at.shape() && symbols[0].shape() == at.shape());
    if (values.size() != 0) lloyd_quantize(levels_, grid_.window(at, scales_.data()), values, symbols[0]);
  }
  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape() && symbols[0].shape() == at.shape());
    if (out.size() != 0) lloyd_dequantize(levels_, grid_.window(at, scales_.data()), symbols[0], out);
  }

  bool side_grows() const override { return grid_.row_step != 0; }
  void save(ByteWriter& out) const override {
    out.put_array(levels_.level.data(), levels_.count);
    put_scales(scales_, out);
  }

 private:
  void set_levels(const std::vector<double>& levels) {
    std::vector<float> rounded(levels.size());
    for (size_t i = 0; i < levels.size(); ++i) {
      rounded[i] =
          static_cast<float>(std::clamp(levels[i], -double{LevelSearch::kMaxLevel}, double{LevelSearch::kMaxLevel}));
    }
    levels_.set_levels(rounded);
  }

  // Returns the code of the largest scale for which all reconstructions are finite.
  int max_code() const {
    const double largest = std::max(std::abs(levels_.level[0]), std::abs(levels_.level[levels_.count - 1]));
    return scale_code_down(static_cast<double>(FLT_MAX) / std::max(1.0, largest));
  }

  void fit_scales(MatrixView<const float> x, bool from_rms) {
    const int limit = max_code();
    for_each_line(grid_, x, [&](const ScaleLine& line) {
      float& scale = scales_[line.index];
      const double start = from_rms ? line_rms(levels_, line.x) : static_cast<double>(scale);
      scale = start == 0 ? 0 : fit_scale(levels_, line.x, start, limit);
    });
  }

  const ScaleGrid grid_;
  const unsigned bits_;
  LevelSearch levels_;
  std::vector<float> scales_;  // [grid.count] the scales, which are exact in bf16
};

}  // namespace

QuantizerEntry lloyd_entry() {
  return {"lloyd",
          "2^bits levels of least squared error, a scale per row, tensor, column or group",
          kParams,
          kPlanes,
          fit_quantizer<LloydQuantizer>,
          load_quantizer<LloydQuantizer>};
}

}  // namespace occ
