// The stage `polar`: vectors of `dim` neighbours in a row are coded as x = s r d, where s is the rms of the row (bf16),
// d one of 2^direction fixed directions and r one of 2^magnitude levels. It takes (direction + magnitude) / dim bits
// per weight, and 16 / cols for s. Source: PCDVQ, arXiv 2506.05432. After a random rotation weights are nearly
// independent and normal, so that directions are uniform and lengths have a chi distribution with `dim` degrees of
// freedom.
//
//   q = x / s;  d = the direction with the largest <q, d>
//   radius=norm       r = the level nearest to |q|, Lloyd-Max levels of chi(dim) (section 3.2 of the paper)
//   radius=projected  r = the level nearest to <q, d>, which has the least error:
//                     |q - r d|^2 = |q|^2 - <q, d>^2 + (r - <q, d>)^2
//                     The levels are fitted to a sample of the matrix. This differs from the paper.
//
// It is one stage with two symbol planes instead of a transform with two planes, since error feedback needs both parts
// of a vector and its reconstruction at once. Levels are stored with 4 bytes each; codebooks of directions are not
// stored (polar_codebook.h). The last vector of a row may be shorter than dim; it takes the direction and the level of
// least error over its coordinates, which are found by trying all.
#include "quantization/polar.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>

#include "base/check.h"
#include "base/lazy.h"
#include "base/parallel.h"
#include "quantization/lloyd_levels.h"
#include "quantization/make.h"
#include "quantization/polar_codebook.h"
#include "quantization/polar_search.h"
#include "tensor/bf16_scales.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    int_param("direction", "14", 1, 16, "bits of the direction of a vector"),
    int_param("magnitude", "2", 0, 8, "bits of its length"),
    choice_param("dim", "8", "2|4|8|16", "columns of a row that form a vector"),
    choice_param("codebook", "e8-greedy", "e8-greedy|random|kmeans",
                 "directions; e8-greedy only for dim=8, kmeans only up to dim=8 and direction=14"),
    choice_param("radius", "projected", "projected|norm", "what the length stands for: <x, direction> or |x|"),
};
constexpr std::string_view kPlanes[] = {"directions", "magnitudes"};
constexpr float kMaxLevel = 0x1p32f;
constexpr float kMaxValue = 1e15f;  // largest |x / s| that DirectionSearch can handle

struct Settings {
  size_t dim = 0;
  unsigned direction = 0, magnitude = 0;
  DirectionSource source = DirectionSource::kE8Greedy;

  Settings(const Params& params, ErrorKind kind)
      : dim(std::stoul(params.choice("dim"))),
        direction(static_cast<unsigned>(params.integer("direction"))),
        magnitude(static_cast<unsigned>(params.integer("magnitude"))) {
    const std::string& codebook = params.choice("codebook");
    if (codebook == "random") source = DirectionSource::kRandom;
    if (codebook == "kmeans") source = DirectionSource::kKmeans;
    if (source == DirectionSource::kE8Greedy && dim != 8) {
      throw Error(kind, fmt::format("polar: codebook=e8-greedy needs dim=8, found dim={}; try codebook=kmeans", dim));
    }
    if (source == DirectionSource::kKmeans && (dim > 8 || direction > 14)) {
      throw Error(kind, fmt::format("polar: codebook=kmeans takes dim up to 8 and direction up to 14, found {} and {}",
                                    dim, direction));
    }
  }
};

// Returns the search for these settings. Each is made when it is first needed and kept for the whole process.
std::shared_ptr<const DirectionSearch> directions_of(const Settings& s) {
  static std::mutex mutex;
  static std::map<std::tuple<DirectionSource, size_t, unsigned>, std::shared_ptr<const DirectionSearch>> known;
  std::shared_ptr<const DirectionSearch> found;
  run_isolated([&] {
    const std::lock_guard lock(mutex);
    std::shared_ptr<const DirectionSearch>& search = known[{s.source, s.dim, s.direction}];
    if (search == nullptr) {
      search =
          std::make_shared<DirectionSearch>(unit_directions(cached_directions(s.source, s.dim, s.direction), s.dim));
    }
    found = search;
  });
  return found;
}

template <size_t kDim>
void decode_row(const float* directions, const float* levels, float scale, const Symbol* d, const Symbol* m,
                size_t cols, float* out) {
  size_t c = 0;
  for (; c + kDim <= cols; c += kDim, ++d, ++m) {
    const float factor = scale * levels[*m];
    const float* unit = directions + kDim * size_t{*d};
    for (size_t i = 0; i < kDim; ++i) out[c + i] = factor * unit[i];
  }
  if (c == cols) return;
  const float factor = scale * levels[*m];
  for (size_t i = 0; c + i < cols; ++i) out[c + i] = factor * directions[kDim * size_t{*d} + i];
}

class PolarQuantizer final : public Quantizer {
 public:
  PolarQuantizer(const Params& params, Shape shape, ErrorKind kind)
      : settings_(params, kind),
        shape_(shape),
        by_norm_(params.choice("radius") == "norm"),
        levels_(size_t{1} << settings_.magnitude) {}

  void fit(const Params&, MatrixView<const float> x, const FitContext&) {
    set_levels(chi_levels(settings_.dim, settings_.magnitude));
    scales_ = rms_scales(x, max_code());
    if (by_norm_) return;
    const std::vector<double> fitted = projected_levels(x);
    if (!fitted.empty()) {
      set_levels(fitted);
      scales_ = rms_scales(x, max_code());  // computed again, because a scale may be too large for the new levels
    }
  }

  void load(ByteReader& side) {
    get_levels(levels_, 0, kMaxLevel, side);
    scales_ = get_scales(shape_.rows, side, max_code());
  }

  std::vector<SymbolPlane> planes() const override {
    const size_t vectors = ceil_div(shape_.cols, settings_.dim);
    return {{.name = "directions", .rows = shape_.rows, .cols = vectors, .alphabet = 1u << settings_.direction},
            {.name = "magnitudes", .rows = shape_.rows, .cols = vectors, .alphabet = 1u << settings_.magnitude}};
  }
  Granule granule() const override { return {1, settings_.dim}; }
  Rect plane_rect(size_t /*plane*/, const Rect& at) const override {
    return {at.row, at.col / settings_.dim, at.rows, ceil_div(at.cols, settings_.dim)};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 2 && values.shape() == at.shape() && at.col % settings_.dim == 0);
    const size_t dim = settings_.dim, whole = at.cols / dim, rest = at.cols % dim;
    constexpr size_t kBatch = 512;  // number of vectors that are searched together
    std::vector<float> q(kBatch * dim);
    std::vector<DirectionHit> hits(kBatch);
    const size_t most_rows = std::max<size_t>(1, kBatch / std::max<size_t>(1, whole));
    for (size_t r = 0; r < at.rows; r += most_rows) {
      const size_t rows = std::min(most_rows, at.rows - r);
      // There is more than one batch only if a row is longer than a batch.
      for (size_t first = 0; first < whole; first += kBatch) {
        const size_t count = std::min(kBatch, whole - first);
        for (size_t i = 0; i < rows; ++i) {
          load_scaled(values.row(r + i) + first * dim, at.row + r + i, count * dim, q.data() + i * count * dim);
        }
        search().nearest(q.data(), rows * count, hits.data());
        for (size_t i = 0; i < rows; ++i) {
          for (size_t v = 0; v < count; ++v) {
            const DirectionHit& hit = hits[i * count + v];
            const float* vector = q.data() + (i * count + v) * dim;
            symbols[0](r + i, first + v) = static_cast<Symbol>(hit.index);
            symbols[1](r + i, first + v) = nearest_level(by_norm_ ? norm(vector) : hit.dot);
          }
        }
      }
      for (size_t i = 0; rest != 0 && i < rows; ++i) {
        load_scaled(values.row(r + i) + whole * dim, at.row + r + i, rest, q.data());
        const auto [direction, level] = best_of_part(q.data(), rest);
        symbols[0](r + i, whole) = direction;
        symbols[1](r + i, whole) = level;
      }
    }
    const MatrixView<const Symbol> const_symbols[] = {symbols[0], symbols[1]};
    dequantize(at, const_symbols, values);
  }

  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 2 && out.shape() == at.shape());
    const float* directions = search().points().data();
    for (size_t r = 0; r < at.rows; ++r) {
      const float scale = scales_[at.row + r];
      const Symbol *d = symbols[0].row(r), *m = symbols[1].row(r);
      switch (settings_.dim) {
        case 2:
          decode_row<2>(directions, levels_.data(), scale, d, m, at.cols, out.row(r));
          break;
        case 4:
          decode_row<4>(directions, levels_.data(), scale, d, m, at.cols, out.row(r));
          break;
        case 8:
          decode_row<8>(directions, levels_.data(), scale, d, m, at.cols, out.row(r));
          break;
        default:
          decode_row<16>(directions, levels_.data(), scale, d, m, at.cols, out.row(r));
      }
    }
  }

  bool side_grows() const override { return true; }
  void save(ByteWriter& out) const override {
    out.put_array(levels_.data(), levels_.size());
    put_scales(scales_, out);
  }

 private:
  void set_levels(const std::vector<double>& levels) {
    for (size_t i = 0; i < levels.size(); ++i) {
      levels_[i] = static_cast<float>(std::clamp(levels[i], 0.0, static_cast<double>(kMaxLevel)));
    }
  }
  // Making the codebook may take seconds.
  const DirectionSearch& search() const {
    return *search_.get([&] { return directions_of(settings_); });
  }
  // Returns the code of the largest scale for which reconstructions are finite. Directions have length one up to
  // rounding.
  int max_code() const {
    return scale_code_down(static_cast<double>(FLT_MAX) / (1.001 * std::max(1.0f, levels_.back())));
  }

  // Computes q = x / s for n elements of row `row`.
  void load_scaled(const float* x, size_t row, size_t n, float* q) const {
    const Reciprocal by = reciprocal_of(scales_[row]);
    for (size_t i = 0; i < n; ++i) q[i] = std::clamp((x[i] * by.pre) * by.inverse, -kMaxValue, kMaxValue);
  }
  float norm(const float* q) const {
    float sum = 0;
    for (size_t i = 0; i < settings_.dim; ++i) sum += q[i] * q[i];
    return std::sqrt(sum);
  }
  Symbol nearest_level(float t) const {
    size_t k = 0;
    while (k + 1 < levels_.size() && 0.5f * (levels_[k] + levels_[k + 1]) < t) ++k;
    return static_cast<Symbol>(k);
  }

  // Returns the direction and the level with the least error over the first n < dim coordinates.
  std::pair<Symbol, Symbol> best_of_part(const float* q, size_t n) const {
    const Matrix<float>& points = search().points();
    float least = std::numeric_limits<float>::infinity();
    std::pair<Symbol, Symbol> best{0, 0};
    for (size_t k = 0; k < points.rows(); ++k) {
      const float* d = points.row(k);
      float dot = 0, square = 0;
      for (size_t i = 0; i < n; ++i) {
        dot += q[i] * d[i];
        square += d[i] * d[i];
      }
      for (size_t l = 0; l < levels_.size(); ++l) {
        const float error = levels_[l] * (levels_[l] * square - 2 * dot);
        if (error < least) least = error, best = {static_cast<Symbol>(k), static_cast<Symbol>(l)};
      }
    }
    return best;
  }

  // Returns the Lloyd-Max levels of <q, d> for a sample of whole vectors, weighted by their squared scales. Empty if
  // there are no whole vectors.
  std::vector<double> projected_levels(MatrixView<const float> x) const {
    const size_t dim = settings_.dim, per_row = shape_.cols / dim, total = shape_.rows * per_row;
    if (total == 0) return {};
    constexpr size_t kSample = size_t{1} << 15, kPart = 1024;
    const size_t stride = ceil_div(total, kSample), count = ceil_div(total, stride);
    std::vector<float> dots(count);
    std::vector<double> weights(count);
    const float largest = std::max(FLT_MIN, *std::max_element(scales_.begin(), scales_.end()));
    parallel_for(ceil_div(count, kPart), [&](size_t part) {
      std::vector<float> q(kPart * dim);
      std::vector<DirectionHit> hits(kPart);
      const size_t first = part * kPart, n = std::min(kPart, count - first);
      for (size_t v = 0; v < n; ++v) {
        const size_t at = (first + v) * stride, row = at / per_row;
        load_scaled(x.row(row) + at % per_row * dim, row, dim, q.data() + v * dim);
        const double relative = static_cast<double>(scales_[row]) / static_cast<double>(largest);
        weights[first + v] = relative * relative;
      }
      search().nearest(q.data(), n, hits.data());
      for (size_t v = 0; v < n; ++v) dots[first + v] = std::max(0.0f, hits[v].dot);
    });
    constexpr size_t kCells = 4096;
    const float most = *std::max_element(dots.begin(), dots.end());
    if (!(most > 0)) return {};
    std::vector<double> weight(kCells), sum(kCells);
    for (size_t v = 0; v < count; ++v) {
      const size_t cell = std::min(kCells - 1, static_cast<size_t>(dots[v] / most * static_cast<float>(kCells)));
      weight[cell] += weights[v];
      sum[cell] += weights[v] * static_cast<double>(dots[v]);
    }
    return best_levels(weight, sum, levels_.size());
  }

  const Settings settings_;
  const Shape shape_;
  const bool by_norm_;
  const Lazy<std::shared_ptr<const DirectionSearch>> search_;
  std::vector<float> levels_;  // ascending, >= 0
  std::vector<float> scales_;  // [rows] the scales, which are exact in bf16
};

}  // namespace

// Computes the best levels for the density r^(dim - 1) exp(-r^2 / 2) on fine cells.
std::vector<double> chi_levels(size_t dim, unsigned bits) {
  constexpr size_t kCells = 8192;
  const double mode = std::sqrt(static_cast<double>(dim) - 1), width = (mode + 8) / kCells;
  std::vector<double> weight(kCells), sum(kCells);
  for (size_t i = 0; i < kCells; ++i) {
    const double r = (static_cast<double>(i) + 0.5) * width;
    weight[i] = std::exp((static_cast<double>(dim) - 1) * std::log(r / mode) - 0.5 * (r * r - mode * mode));
    sum[i] = weight[i] * r;
  }
  return best_levels(weight, sum, size_t{1} << bits);
}

QuantizerEntry polar_entry() {
  return {"polar",
          "vectors as one of 2^direction fixed directions times one of 2^magnitude lengths",
          kParams,
          kPlanes,
          fit_quantizer<PolarQuantizer>,
          load_quantizer<PolarQuantizer>};
}

}  // namespace occ
