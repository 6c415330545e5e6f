// kashin: every row as a sum of two vectors with few levels each, in the standard basis and in a second one,
//
//   x = s (u + Q v),   u_i one of 2^u levels, v_i one of 2^v levels, Q orthonormal (kashin_basis.h)
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
//   clusters=joint  pairs (u_i, v_i) are 2^(u + v) points of the plane instead of a grid; that is where they begin.
//   When
//                   u has a target, v_i stays at its value and the nearest point to both is taken, and the other way
//                   round; points become the means of what they stand for (k-means on the sample), step by step, and
//                   are replayed likewise. rounds=0: k-means of the pairs as they stand, the papers' form.
//   block=b         Q maps b columns each, so that error feedback can go from block to block.
//
// Differences from the papers: levels are shared by rows of equal rms instead of clustered per column; the product form
// IDCT diag(signs) DCT is replaced by IDCT alone, with the stage `signs` in front: half the work to the same end.
#include "quantization/kashin.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "quantization/kashin_basis.h"
#include "quantization/kashin_levels.h"
#include "quantization/make.h"
#include "simd/panel.h"
#include "tensor/bf16_scales.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    int_param("u", "2", 1, 4, "bits of the part in the standard basis"),
    int_param("v", "2", 1, 4, "bits of the part in the second basis"),
    choice_param("basis", "dct", "dct|hadamard|orthogonal",
                 "the second basis; hadamard in parts of the power of two in cols, orthogonal dense and random"),
    int_param("block", "0", 0, 1 << 24, "columns that the second basis maps as one, 0: all"),
    int_param("seed", "0", 0, 9007199254740991.0, "names the basis `orthogonal`"),
    choice_param("clusters", "separate", "separate|joint", "levels for u and v each, or points for pairs of them"),
    choice_param("start", "scaled", "scaled|pair", "first u: (1 - shrink) x, or that of a pair with small maxima"),
    real_param("shrink", "0.25", 0, 1, "see start"),
    real_param("relax", "0.15", 0, 1, "how far targets move beyond what is left, falling to 0 in the last round"),
    int_param("rounds", "30", 0, 1000, "of alternating requantization"),
};
constexpr std::string_view kPlanes[] = {"u", "v"};
constexpr unsigned kMaxJointBits = 6;

class KashinQuantizer final : public Quantizer {
 public:
  KashinQuantizer(const Params& params, Shape shape, ErrorKind kind)
      : shape_(shape),
        bits_{static_cast<unsigned>(params.integer("u")), static_cast<unsigned>(params.integer("v"))},
        joint_(params.choice("clusters") == "joint"),
        rounds_(static_cast<size_t>(params.integer("rounds"))),
        pair_(params.choice("start") == "pair" || rounds_ == 0),
        shrink_(static_cast<float>(params.real("shrink"))),
        relax_(static_cast<float>(params.real("relax"))),
        basis_(params, shape.cols, kind) {
    if (joint_ && bits_[0] + bits_[1] > kMaxJointBits) {
      throw Error(kind, fmt::format("kashin: clusters=joint expects u + v up to {}, found {}", kMaxJointBits,
                                    bits_[0] + bits_[1]));
    }
  }

  void fit(const Params&, MatrixView<const float> x, const FitContext&) {
    scales_ = rms_scales(x);
    points_.resize(size_t{1} << (bits_[0] + bits_[1]));
    for (size_t i = 0; i < 2; ++i) levels_[i].set(std::vector<double>(size_t{1} << bits_[i]));
    if (x.size() == 0) return;
    learn(x);
    for (float& s : scales_) s = std::min(s, scale_of(max_code()));
  }

  void load(ByteReader& side) {
    points_.resize(size_t{1} << (bits_[0] + bits_[1]));
    if (joint_) {
      for (std::vector<float>* part : {&points_.u, &points_.v}) {
        side.get_array(part->data(), part->size());
        for (const float t : *part) {
          if (!(std::abs(t) <= kMaxKashinLevel)) {
            throw_input("{}: expected points with coordinates up to 2^32, found {}", side.what(), t);
          }
        }
      }
    } else {
      for (size_t i = 0; i < 2; ++i) {
        levels_[i].level.resize(size_t{1} << bits_[i]);
        get_levels(levels_[i].level, -kMaxKashinLevel, kMaxKashinLevel, side);
      }
      points_.set_grid(levels_[0], levels_[1]);
    }
    scales_ = get_scales(shape_.rows, side, max_code());
  }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "u", .rows = shape_.rows, .cols = shape_.cols, .alphabet = 1u << bits_[0]},
            {.name = "v", .rows = shape_.rows, .cols = shape_.cols, .alphabet = 1u << bits_[1]}};
  }
  Granule granule() const override { return {1, basis_.block() == shape_.cols ? 0 : basis_.block()}; }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 2 && values.shape() == at.shape() && at.col % basis_.block() == 0);
    if (values.size() == 0) return;
    Panel p(*this, at.cols);
    for (size_t r = 0; r < at.rows; r += kPanelLanes) {
      const size_t rows = std::min(kPanelLanes, at.rows - r);
      start(values.row_range(r, rows), at.row + r, p);
      for (size_t round = 0; round < schedule_.size(); ++round) {
        snap(schedule_[round].u, p.u.data(), p.u.size());
        project(p, beyond(round));
        snap(schedule_[round].v, p.v.data(), p.v.size());
        subtract(p, beyond(round));
      }
      if (joint_) {
        if (rounds_ != 0) {
          snap(levels_[0], p.u.data(), p.u.size());
          project(p, 1);
        }
        for (size_t step = 0; step < joint_schedule_.size(); ++step) {
          take(joint_schedule_[step], p);
          joint_step(p, step);
        }
        nearest_points(points_, p.u.data(), p.v.data(), p.u.size(), p.codes.data());
        store_codes(p, symbols[0].row_range(r, rows), symbols[1].row_range(r, rows));
      } else {
        store_symbols(levels_[0], p.u, symbols[0].row_range(r, rows));
        store_symbols(levels_[1], p.v, symbols[1].row_range(r, rows));
      }
    }
    const MatrixView<const Symbol> const_symbols[] = {symbols[0], symbols[1]};
    dequantize(at, const_symbols, values);
  }

  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 2 && out.shape() == at.shape() && at.col % basis_.block() == 0);
    if (out.size() == 0) return;
    Matrix<float> v(at.cols, kPanelLanes), second = Matrix<float>::uninitialized(at.cols, kPanelLanes);
    Matrix<float> work = Matrix<float>::uninitialized(1, basis_.work_size());
    for (size_t r = 0; r < at.rows; r += kPanelLanes) {
      const size_t rows = std::min(kPanelLanes, at.rows - r);
      if (r != 0) std::fill_n(v.data(), v.size(), 0.0f);
      for (size_t k = 0; k < rows; ++k) {
        const Symbol *a = symbols[0].row(r + k), *b = symbols[1].row(r + k);
        for (size_t c = 0; c < at.cols; ++c) v(c, k) = points_.v[code(a[c], b[c])];
      }
      basis_.apply(v.data(), second.data(), at.cols, false, work.data());
      for (size_t k = 0; k < rows; ++k) {
        const Symbol *a = symbols[0].row(r + k), *b = symbols[1].row(r + k);
        const float scale = scales_[at.row + r + k];
        for (size_t c = 0; c < at.cols; ++c) {
          out(r + k, c) = scale == 0 ? 0 : scale * (points_.u[code(a[c], b[c])] + second(c, k));
        }
      }
    }
  }

  // x' = s u + s v Q^T, row by row.
  size_t part_count() const override { return 2; }
  void parts(const Rect& at, std::span<const MatrixView<const Symbol>> symbols, MatrixView<float> out) const override {
    for (size_t r = 0; r < at.rows; ++r) {
      const Symbol *a = symbols[0].row(r), *b = symbols[1].row(r);
      const float scale = scales_[at.row + r];
      float *u = out.row(r), *v = u + at.cols;
      for (size_t c = 0; c < at.cols; ++c) {
        u[c] = scale * points_.u[code(a[c], b[c])];
        v[c] = scale * points_.v[code(a[c], b[c])];
      }
    }
  }
  void part_inputs(MatrixView<const float> x, MatrixView<float> out) const override {
    const size_t cols = x.cols();
    if (x.size() == 0) return;
    Matrix<float> from(cols, kPanelLanes), to = Matrix<float>::uninitialized(cols, kPanelLanes);
    Matrix<float> work = Matrix<float>::uninitialized(1, basis_.work_size());
    for (size_t r = 0; r < x.rows(); r += kPanelLanes) {
      const size_t rows = std::min(kPanelLanes, x.rows() - r);
      load_panel_rows(x.row_range(r, rows), from.data());
      basis_.apply(from.data(), to.data(), cols, true, work.data());
      store_panel_rows(to.data(), out.sub({r, cols, rows, cols}));
      for (size_t k = r; k < r + rows; ++k) std::copy_n(x.row(k), cols, out.row(k));
    }
  }

  void save(ByteWriter& out) const override {
    if (joint_) {
      out.put_array(points_.u.data(), points_.u.size());
      out.put_array(points_.v.data(), points_.v.size());
    } else {
      for (const KashinLevels& l : levels_) out.put_array(l.level.data(), l.level.size());
    }
    put_scales(scales_, out);
  }

 private:
  // 16 rows; element (c, k) is column c of row k.
  struct Panel {
    Panel(const KashinQuantizer& q, size_t cols)
        : x(cols, kPanelLanes),
          u(cols, kPanelLanes),
          v(cols, kPanelLanes),
          y(cols, kPanelLanes),
          out(cols, kPanelLanes),
          work(1, q.basis_.work_size()),
          codes(q.joint_ ? cols : 0, kPanelLanes) {}
    Matrix<float> x, u, v;  // x / s, and what u and v are to code
    Matrix<float> y, out, work;
    Matrix<int32_t> codes;  // of joint clusters
  };

  size_t code(Symbol u, Symbol v) const { return size_t{u} << bits_[1] | v; }

  // |u + Q v| <= |u|_max + sqrt(cols) |v|_max.
  int max_code() const {
    float u = 0, v = 0;
    for (size_t k = 0; k < points_.u.size(); ++k) {
      u = std::max(u, std::abs(points_.u[k]));
      v = std::max(v, std::abs(points_.v[k]));
    }
    double most = 1;
    most += double{u} * 1.01;
    most += double{v} * (1.01 * std::sqrt(static_cast<double>(shape_.cols)));
    return scale_code_down(static_cast<double>(FLT_MAX) / most);
  }

  // p.out = Q v; v is destroyed.
  void from_basis(float* v, Panel& p) const { basis_.apply(v, p.out.data(), p.x.rows(), false, p.work.data()); }
  // p.out = Q^T x; x is destroyed.
  void to_basis(float* x, Panel& p) const { basis_.apply(x, p.out.data(), p.x.rows(), true, p.work.data()); }

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
  // After step 0, 2, ... u gets a target, after the others v.
  void joint_step(Panel& p, size_t step) const {
    step % 2 == 0 ? subtract(p, beyond(step / 2)) : project(p, beyond((step + 1) / 2));
  }
  // p.u and p.v become the nearest points.
  static void take(const KashinPoints& points, Panel& p) {
    nearest_points(points, p.u.data(), p.v.data(), p.u.size(), p.codes.data());
    put_points(points, p);
  }
  static void put_points(const KashinPoints& points, Panel& p) {
    for (size_t i = 0; i < p.u.size(); ++i) {
      const auto k = static_cast<size_t>(p.codes.data()[i]);
      p.u.data()[i] = points.u[k];
      p.v.data()[i] = points.v[k];
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
    for (size_t c = 0; c < p.x.rows(); ++c) {
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
  // Twice, block by block: c = mean |left| of each row, c sign(left) goes from `left` to `to`.
  void sign_steps(Matrix<float>& left, Matrix<float>& to) const {
    for (size_t begin = 0; begin < left.rows(); begin += basis_.block()) {
      const size_t end = std::min(left.rows(), begin + basis_.block());
      for (int step = 0; step < 2; ++step) {
        float mean[kPanelLanes] = {};
        for (size_t c = begin; c < end; ++c) {
          for (size_t k = 0; k < kPanelLanes; ++k) mean[k] += std::abs(left(c, k));
        }
        for (float& m : mean) m /= static_cast<float>(end - begin);
        for (size_t c = begin; c < end; ++c) {
          for (size_t k = 0; k < kPanelLanes; ++k) {
            const float add = std::copysign(mean[k], left(c, k));
            to(c, k) += add;
            left(c, k) -= add;
          }
        }
      }
    }
  }

  static void store_symbols(const KashinLevels& levels, const Matrix<float>& values, MatrixView<Symbol> symbols) {
    for (size_t k = 0; k < symbols.rows(); ++k) {
      for (size_t c = 0; c < symbols.cols(); ++c) {
        Symbol q = 0;
        for (const float border : levels.border) q = static_cast<Symbol>(q + (values(c, k) > border));
        symbols(k, c) = q;
      }
    }
  }

  void store_codes(const Panel& p, MatrixView<Symbol> u, MatrixView<Symbol> v) const {
    for (size_t k = 0; k < u.rows(); ++k) {
      for (size_t c = 0; c < u.cols(); ++c) {
        u(k, c) = static_cast<Symbol>(p.codes(c, k) >> bits_[1]);
        v(k, c) = static_cast<Symbol>(p.codes(c, k) & ((1 << bits_[1]) - 1));
      }
    }
  }

  // Runs the alternation on a sample of rows, with the best levels at every step.
  void learn(MatrixView<const float> x) {
    const size_t wanted = std::max(kPanelLanes, ceil_div(size_t{1} << 17, shape_.cols));
    const size_t stride = std::max<size_t>(1, shape_.rows / wanted), count = std::min(wanted, shape_.rows);
    std::vector<Panel> panels;
    for (size_t k = 0; k < count; k += kPanelLanes) panels.emplace_back(*this, shape_.cols);
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
      KashinHistogram histogram;
      for (size_t i = 0; i < panels.size(); ++i) {
        const Matrix<float>& m = which == 0 ? panels[i].u : panels[i].v;
        const size_t rows = std::min(kPanelLanes, count - i * kPanelLanes);
        for (size_t c = 0; c < m.rows(); ++c) histogram.add(m.row(c), rows);
      }
      levels_[which].set(histogram.best(bits_[which]));
    };
    const auto each_panel = [&](const auto& body) { parallel_for(panels.size(), [&](size_t i) { body(panels[i]); }); };
    fit_levels(0);
    if (rounds_ == 0) fit_levels(1);
    if (joint_) return learn_points(panels, count, fit_levels);
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
    points_.set_grid(levels_[0], levels_[1]);
  }

  // The same for points; u has levels already.
  template <typename FitLevels>
  void learn_points(std::vector<Panel>& panels, size_t rows, const FitLevels& fit_levels) {
    constexpr size_t kStepsOfPair = 20;
    if (rounds_ != 0) {
      parallel_for(panels.size(), [&](size_t i) {
        snap(levels_[0], panels[i].u.data(), panels[i].u.size());
        project(panels[i], 1);
      });
      fit_levels(1);
    }
    points_.set_grid(levels_[0], levels_[1]);
    for (size_t step = 0; step < (rounds_ == 0 ? kStepsOfPair : 2 * rounds_ - 1); ++step) {
      std::vector<PointSums> sums(panels.size(), PointSums(points_.u.size()));
      parallel_for(panels.size(), [&](size_t i) {
        Panel& p = panels[i];
        nearest_points(points_, p.u.data(), p.v.data(), p.u.size(), p.codes.data());
        sums[i].add(p.codes, p.u, p.v, std::min(kPanelLanes, rows - i * kPanelLanes));
        if (rounds_ == 0) return;
        put_points(points_, p);
        joint_step(p, step);
      });
      if (rounds_ != 0) joint_schedule_.push_back(points_);
      for (size_t i = 1; i < sums.size(); ++i) sums[0].add(sums[i]);
      sums[0].means(points_);
    }
  }

  struct Round {
    KashinLevels u, v;
  };
  const Shape shape_;
  const unsigned bits_[2];
  const bool joint_;
  const size_t rounds_;
  const bool pair_;
  const float shrink_, relax_;
  const KashinBasis basis_;
  KashinPoints points_;        // number (symbol of u) 2^v + symbol of v
  std::vector<float> scales_;  // [rows], exactly bf16
  // Of an encoder.
  KashinLevels levels_[2];  // of u and v
  std::vector<Round> schedule_;
  std::vector<KashinPoints> joint_schedule_;
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
