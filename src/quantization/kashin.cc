// kashin: every row as a sum of two vectors with few levels each, in the standard basis and in a second one,
//
//   x = s (u + Q v),   u_i one of 2^u levels, v_i one of 2^v levels, Q = inverse DCT-II or Walsh-Hadamard
//
// s the rms of the row (bf16), levels shared by the matrix. u + v bits per weight, 16 / cols for s, 4 bytes a level;
// two look-ups and one fast transform to decode. By Kashin (1977) both factors can have small maxima, so that few
// levels serve them well: "Quantization of Large Language Models with an Overdetermined Basis", arXiv 2404.09737.
//
//   start=pair   what is left of x gets two sign steps into u (add mean|r| sign(r)), what is left of Q^T of it two into
//                v, and so on, 6 times; entries then peak at +-c1 +- c2, which few levels catch
//   start=scaled u = (1 - shrink) x
// then `rounds` of alternation: u = nearest levels, v = nearest levels to Q^T (x - u), and what u is to code becomes
// x - Q v. Targets move from the last levels a bit beyond that (relax), which leaves poor local minima: .0274 instead
// of .0303 at 3 bits. Levels follow: in every round they are the best (Lloyd-Max, by dynamic programming) for a sample
// of rows; those of all rounds are replayed for every row, the last ones are stored. rounds=0 codes the pair as it
// stands.
//
// Differences from the papers: levels are shared by rows of equal rms instead of clustered per column; the product form
// IDCT diag(signs) DCT is replaced by IDCT alone, with the stage `signs` in front: half the work to the same end.
#include "quantization/kashin.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/parallel.h"
#include "quantization/lloyd_levels.h"
#include "quantization/make.h"
#include "simd/dct_plan.h"
#include "simd/fwht.h"
#include "simd/panel.h"
#include "tensor/bf16_scales.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    int_param("u", "2", 1, 4, "bits of the part in the standard basis"),
    int_param("v", "2", 1, 4, "bits of the part in the second basis"),
    choice_param("basis", "dct", "dct|hadamard", "the second basis; hadamard in parts of the power of two in cols"),
    choice_param("start", "scaled", "scaled|pair", "first u: (1 - shrink) x, or that of a pair with small maxima"),
    real_param("shrink", "0.25", 0, 1, "see start"),
    real_param("relax", "0.15", 0, 1, "how far targets move beyond what is left, falling to 0 in the last round"),
    int_param("rounds", "30", 0, 1000, "of alternating requantization"),
};
constexpr std::string_view kPlanes[] = {"u", "v"};
constexpr float kMaxLevel = 0x1p32f;

// Ascending levels with the borders midway between them.
struct Levels {
  std::vector<float> level, border;

  void set(const std::vector<double>& levels) {
    level.resize(levels.size());
    for (size_t i = 0; i < levels.size(); ++i) {
      level[i] = static_cast<float>(std::clamp(levels[i], -static_cast<double>(kMaxLevel), double{kMaxLevel}));
    }
    set_borders();
  }
  void set_borders() {
    border.resize(level.size() - 1);
    for (size_t i = 0; i < border.size(); ++i) border[i] = 0.5f * level[i] + 0.5f * level[i + 1];
  }
};

// values become the nearest levels.
void snap(const Levels& levels, float* values, size_t count) {
  constexpr size_t kStep = 64;
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    float out[kStep];
    for (float& o : out) o = levels.level[0];
    for (size_t k = 0; k < levels.border.size(); ++k) {
      const float border = levels.border[k], next = levels.level[k + 1];
      for (size_t j = 0; j < kStep; ++j) out[j] = values[i + j] > border ? next : out[j];
    }
    std::copy_n(out, kStep, values + i);
  }
  for (; i < count; ++i) {
    float out = levels.level[0];
    for (size_t k = 0; k < levels.border.size(); ++k) out = values[i] > levels.border[k] ? levels.level[k + 1] : out;
    values[i] = out;
  }
}

// Best levels for the values: a histogram with cells even in t / (4 + |t|), then dynamic programming.
class LevelHistogram {
 public:
  LevelHistogram() : weight_(kCells), sum_(kCells) {}
  void add(const float* values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const float t = values[i], position = t / (4 + std::abs(t));
      const auto cell = static_cast<size_t>(std::clamp((position + 1) * (0.5f * kCells), 0.0f, kCells - 1.0f));
      weight_[cell] += 1;
      sum_[cell] += static_cast<double>(t);
    }
  }
  std::vector<double> best(unsigned bits) const { return best_levels(weight_, sum_, size_t{1} << bits); }

 private:
  static constexpr size_t kCells = 2048;
  std::vector<double> weight_, sum_;
};

class KashinQuantizer final : public Quantizer {
 public:
  KashinQuantizer(const Params& params, Shape shape, ErrorKind kind)
      : shape_(shape),
        bits_{static_cast<unsigned>(params.integer("u")), static_cast<unsigned>(params.integer("v"))},
        rounds_(static_cast<size_t>(params.integer("rounds"))),
        pair_(params.choice("start") == "pair" || rounds_ == 0),
        shrink_(static_cast<float>(params.real("shrink"))),
        relax_(static_cast<float>(params.real("relax"))) {
    const size_t n = shape.cols, power = n & (~n + 1);
    if (n == 0) return;
    if (params.choice("basis") == "hadamard") {
      part_ = power;
      return;
    }
    if (n > DctPlan<float>::kMaxLength || n / power > DctPlan<float>::kMaxOdd) {
      throw Error(kind, fmt::format("kashin: basis=dct expects up to {} columns with an odd part up to {}, found {}",
                                    DctPlan<float>::kMaxLength, DctPlan<float>::kMaxOdd, n));
    }
    plan_.emplace(n);
  }

  void fit(const Params&, MatrixView<const float> x, const FitContext&) {
    scales_ = rms_scales(x);
    for (size_t i = 0; i < 2; ++i) levels_[i].set(std::vector<double>(size_t{1} << bits_[i]));
    if (x.size() == 0) return;
    learn(x);
    for (float& s : scales_) s = std::min(s, scale_of(max_code()));
  }

  void load(ByteReader& side) {
    for (size_t i = 0; i < 2; ++i) {
      std::vector<float>& level = levels_[i].level;
      level.resize(size_t{1} << bits_[i]);
      get_levels(level, -kMaxLevel, kMaxLevel, side);
      levels_[i].set_borders();
    }
    scales_ = get_scales(shape_.rows, side, max_code());
  }

  std::vector<SymbolPlane> planes() const override {
    std::vector<SymbolPlane> planes(2);
    for (size_t i = 0; i < 2; ++i) {
      planes[i].name = kPlanes[i];
      planes[i].rows = shape_.rows;
      planes[i].cols = shape_.cols;
      planes[i].alphabet = uint32_t{1} << bits_[i];
    }
    return planes;
  }
  Granule granule() const override { return {1, 0}; }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 2 && values.shape() == at.shape() && at.cols == shape_.cols);
    if (values.size() == 0) return;
    Panel p(*this);
    for (size_t r = 0; r < at.rows; r += kPanelLanes) {
      const size_t rows = std::min(kPanelLanes, at.rows - r);
      start(values.row_range(r, rows), at.row + r, p);
      for (size_t round = 0; round < schedule_.size(); ++round) {
        snap(schedule_[round].u, p.u.data(), p.u.size());
        project(p, beyond(round));
        snap(schedule_[round].v, p.v.data(), p.v.size());
        subtract(p, beyond(round));
      }
      snap(levels_[0], p.u.data(), p.u.size());
      snap(levels_[1], p.v.data(), p.v.size());
      store_symbols(levels_[0], p.u, symbols[0].row_range(r, rows));
      store_symbols(levels_[1], p.v, symbols[1].row_range(r, rows));
    }
    const MatrixView<const Symbol> const_symbols[] = {symbols[0], symbols[1]};
    dequantize(at, const_symbols, values);
  }

  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 2 && out.shape() == at.shape() && at.cols == shape_.cols);
    if (out.size() == 0) return;
    Panel p(*this);
    for (size_t r = 0; r < at.rows; r += kPanelLanes) {
      const size_t rows = std::min(kPanelLanes, at.rows - r);
      std::fill_n(p.x.data(), p.x.size(), 0.0f);
      for (size_t k = 0; k < rows; ++k) {
        const Symbol* v = symbols[1].row(r + k);
        for (size_t c = 0; c < at.cols; ++c) p.x(c, k) = levels_[1].level[v[c]];
      }
      from_basis(p.x.data(), p);
      for (size_t k = 0; k < rows; ++k) {
        const Symbol* u = symbols[0].row(r + k);
        const float scale = scales_[at.row + r + k];
        for (size_t c = 0; c < at.cols; ++c) {
          out(r + k, c) = scale == 0 ? 0 : scale * (levels_[0].level[u[c]] + p.out(c, k));
        }
      }
    }
  }

  std::vector<float> scales() const override { return scales_; }
  void set_scales(std::span<const float> scales) override {
    OCC_CHECK(scales.size() == shape_.rows);
    for (size_t i = 0; i < scales.size(); ++i) scales_[i] = stored_scale(scales[i], max_code());
  }
  void save(ByteWriter& out) const override {
    for (const Levels& l : levels_) out.put_array(l.level.data(), l.level.size());
    put_scales(scales_, out);
  }

 private:
  // 16 rows; element (c, k) is column c of row k.
  struct Panel {
    explicit Panel(const KashinQuantizer& q)
        : x(q.shape_.cols, kPanelLanes),
          u(q.shape_.cols, kPanelLanes),
          v(q.shape_.cols, kPanelLanes),
          y(q.shape_.cols, kPanelLanes),
          out(q.shape_.cols, kPanelLanes),
          work(1, q.plan_ ? q.plan_->scratch_size() : 0) {}
    Matrix<float> x, u, v;  // x / s, and what u and v are to code
    Matrix<float> y, out, work;
  };

  // |u + Q v| <= |u|_max + sqrt(cols) |v|_max.
  int max_code() const {
    double most = 1;
    for (size_t i = 0; i < 2; ++i) {
      const Levels& l = levels_[i];
      if (l.level.empty()) continue;
      const double largest = std::max(std::abs(l.level.front()), std::abs(l.level.back()));
      most += largest * (i == 0 ? 1.01 : 1.01 * std::sqrt(static_cast<double>(shape_.cols)));
    }
    return scale_code_down(static_cast<double>(FLT_MAX) / most);
  }

  void from_basis(float* v, Panel& p) const { transform(v, p, true); }  // p.out = Q v; v is destroyed
  void to_basis(float* x, Panel& p) const { transform(x, p, false); }   // p.out = Q^T x; x is destroyed
  void transform(float* from, Panel& p, bool inverse) const {
    if (plan_) {
      inverse ? plan_->inverse(from, p.out.data(), p.work.data()) : plan_->forward(from, p.out.data(), p.work.data());
      return;
    }
    std::copy_n(from, p.out.size(), p.out.data());
    for (size_t c = 0; c < shape_.cols; c += part_) fwht_panel(p.out.row(c), part_);
  }

  // Factor on the change of a target; the first v has nothing to change from.
  float beyond(size_t round) const {
    return round == 0 ? 1 : 1 + relax_ * (1 - static_cast<float>(round) / static_cast<float>(rounds_));
  }
  // p.v goes from levels to Q^T (x - u), times `beyond`; p.u are levels.
  void project(Panel& p, float beyond) const {
    for (size_t i = 0; i < p.x.size(); ++i) p.y.data()[i] = p.x.data()[i] - p.u.data()[i];
    to_basis(p.y.data(), p);
    for (size_t i = 0; i < p.x.size(); ++i) p.v.data()[i] += beyond * (p.out.data()[i] - p.v.data()[i]);
  }
  // p.u goes from levels to x - Q v, times `beyond`; p.v are levels.
  void subtract(Panel& p, float beyond) const {
    std::copy_n(p.v.data(), p.v.size(), p.y.data());
    from_basis(p.y.data(), p);
    for (size_t i = 0; i < p.x.size(); ++i) {
      p.u.data()[i] += beyond * ((p.x.data()[i] - p.out.data()[i]) - p.u.data()[i]);
    }
  }

  // x, and the first u; with a pair also v.
  void start(MatrixView<const float> rows, size_t first, Panel& p) const {
    constexpr float kMost = 1e15f;
    load_panel_rows(rows, p.x.data());
    float pre[kPanelLanes] = {}, inverse[kPanelLanes] = {};
    for (size_t k = 0; k < rows.rows(); ++k) {
      const Reciprocal by = reciprocal_of(scales_[first + k]);
      pre[k] = by.pre;
      inverse[k] = by.inverse;
    }
    for (size_t c = 0; c < shape_.cols; ++c) {
      float* x = p.x.row(c);
      for (size_t k = 0; k < kPanelLanes; ++k) x[k] = std::clamp((x[k] * pre[k]) * inverse[k], -kMost, kMost);
    }
    std::fill_n(p.v.data(), p.v.size(), 0.0f);
    if (!pair_) {
      for (size_t i = 0; i < p.x.size(); ++i) p.u.data()[i] = (1 - shrink_) * p.x.data()[i];
      return;
    }
    std::fill_n(p.u.data(), p.u.size(), 0.0f);
    Matrix<float> left = p.x.clone();
    for (int block = 0; block < 6; ++block) {
      sign_steps(left, p.u);
      to_basis(left.data(), p);
      std::copy_n(p.out.data(), left.size(), left.data());
      sign_steps(left, p.v);
      from_basis(left.data(), p);
      std::copy_n(p.out.data(), left.size(), left.data());
    }
  }
  // Twice: c = mean |left| of each row, c sign(left) goes from `left` to `to`.
  static void sign_steps(Matrix<float>& left, Matrix<float>& to) {
    for (int step = 0; step < 2; ++step) {
      float mean[kPanelLanes] = {};
      for (size_t c = 0; c < left.rows(); ++c) {
        for (size_t k = 0; k < kPanelLanes; ++k) mean[k] += std::abs(left(c, k));
      }
      for (float& m : mean) m /= static_cast<float>(left.rows());
      for (size_t c = 0; c < left.rows(); ++c) {
        for (size_t k = 0; k < kPanelLanes; ++k) {
          const float add = std::copysign(mean[k], left(c, k));
          to(c, k) += add;
          left(c, k) -= add;
        }
      }
    }
  }

  static void store_symbols(const Levels& levels, const Matrix<float>& values, MatrixView<Symbol> symbols) {
    for (size_t k = 0; k < symbols.rows(); ++k) {
      for (size_t c = 0; c < symbols.cols(); ++c) {
        Symbol q = 0;
        for (const float border : levels.border) q = static_cast<Symbol>(q + (values(c, k) > border));
        symbols(k, c) = q;
      }
    }
  }

  // Runs the alternation on a sample of rows, with the best levels at every step.
  void learn(MatrixView<const float> x) {
    const size_t wanted = std::max(kPanelLanes, ceil_div(size_t{1} << 17, shape_.cols));
    const size_t stride = std::max<size_t>(1, shape_.rows / wanted), count = std::min(wanted, shape_.rows);
    std::vector<Panel> panels;
    for (size_t k = 0; k < count; k += kPanelLanes) panels.emplace_back(*this);
    parallel_for(panels.size(), [&](size_t i) {
      const size_t first = i * kPanelLanes, rows = std::min(kPanelLanes, count - first);
      // Rows first * stride, (first + 1) * stride, ... one by one, since each has its own scale.
      Matrix<float> all(shape_.cols, kPanelLanes), u(shape_.cols, kPanelLanes), v(shape_.cols, kPanelLanes);
      for (size_t k = 0; k < rows; ++k) {
        const size_t row = (first + k) * stride;
        start(x.row_range(row, 1), row, panels[i]);
        for (size_t c = 0; c < shape_.cols; ++c) {
          all(c, k) = panels[i].x(c, 0);
          u(c, k) = panels[i].u(c, 0);
          v(c, k) = panels[i].v(c, 0);
        }
      }
      panels[i].x = std::move(all);
      panels[i].u = std::move(u);
      panels[i].v = std::move(v);
    });
    const auto fit_levels = [&](size_t which) {
      LevelHistogram histogram;
      for (size_t i = 0; i < panels.size(); ++i) {
        const Matrix<float>& m = which == 0 ? panels[i].u : panels[i].v;
        const size_t rows = std::min(kPanelLanes, count - i * kPanelLanes);
        for (size_t c = 0; c < m.rows(); ++c) histogram.add(m.row(c), rows);
      }
      levels_[which].set(histogram.best(bits_[which]));
    };
    const auto each_panel = [&](const auto& body) { parallel_for(panels.size(), [&](size_t i) { body(panels[i]); }); };
    fit_levels(0);
    if (rounds_ == 0) return fit_levels(1);
    for (size_t round = 0; round < rounds_; ++round) {
      each_panel([&](Panel& p) {
        snap(levels_[0], p.u.data(), p.u.size());
        project(p, beyond(round));
      });
      fit_levels(1);
      schedule_.push_back({levels_[0], levels_[1]});
      each_panel([&](Panel& p) {
        snap(levels_[1], p.v.data(), p.v.size());
        subtract(p, beyond(round));
      });
      fit_levels(0);
    }
  }

  struct Round {
    Levels u, v;
  };
  const Shape shape_;
  const unsigned bits_[2];
  const size_t rounds_;
  const bool pair_;
  const float shrink_, relax_;
  std::optional<DctPlan<float>> plan_;
  size_t part_ = 0;              // of basis=hadamard
  Levels levels_[2];             // of u and v
  std::vector<float> scales_;    // [rows], exactly bf16
  std::vector<Round> schedule_;  // of an encoder
};

}  // namespace

QuantizerEntry kashin_entry() {
  return {"kashin",
          "rows as sums of two few-level vectors, one of them in a second basis",
          kParams,
          kPlanes,
          fit_quantizer<KashinQuantizer>,
          load_quantizer<KashinQuantizer>};
}

}  // namespace occ
