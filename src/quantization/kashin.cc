// The stage `kashin`: every row is a sum of two vectors with few levels each, one in the standard basis and one in a
// second basis,
//
//   x = s (u + Q v),   u_i one of 2^u levels, v_i one of 2^v levels, Q orthonormal (kashin_basis.h)
//
// where s is the rms of the row (bf16) and the levels are shared by the whole matrix. It takes u + v bits per weight,
// 16 / cols bits for s and 4 bytes per level. Decoding takes two look-ups and one fast transform. By Kashin (1977) both
// vectors can have small maxima, so that few levels serve them well: "Quantization of Large Language Models with an
// Overdetermined Basis", arXiv 2404.09737.
//
// The encoder (kashin_encoder.cc) starts from one of
//   start=pair    six times in turn: two sign steps move parts of the residual r to u (u gets mean|r| sign(r)), and two
//                 sign steps in the second basis move parts of Q^T r to v. The entries of u and v then gather at
//                 +-c1 +- c2, which suits few levels.
//   start=scaled  u = (1 - shrink) x
// and then alternates for `rounds` rounds: u takes its nearest levels, v the levels nearest to Q^T (x - u), and the
// next target of u is x - Q v. Targets move a little beyond that (relax), which escapes poor local minima: the relative
// error at 3 bits is .0274 instead of .0303. In every round the levels are the best ones (Lloyd-Max, by dynamic
// programming) for a sample of rows. Every row then repeats the rounds with the levels of the sample, and the last
// levels are stored. rounds=0 codes the pair as it is.
//
//   clusters=joint  the pairs (u_i, v_i) are 2^(u + v) free points of the plane, which start as the grid of levels.
//                   When u has a new target, v_i keeps its value and the point nearest to both is taken, and the other
//                   way round. After every step the points become the means of their pairs in the sample (k-means), and
//                   every row repeats these steps. rounds=0: k-means of the pairs as they are, the form of the papers.
//   block=b         Q maps blocks of b columns, so that error feedback is possible from block to block.
//
// What differs from the papers: levels are shared by all rows after scaling to equal rms instead of being clustered for
// each column, and the product IDCT diag(signs) DCT is replaced by IDCT with the stage `signs` in front, which has the
// same effect at half the cost.
#include "quantization/kashin.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "base/check.h"
#include "quantization/kashin_encoder.h"
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

class KashinQuantizer final : public Quantizer {
 public:
  KashinQuantizer(const Params& params, Shape shape, ErrorKind kind)
      : shape_(shape), settings_(params, kind), basis_(params, shape.cols, kind) {}

  void fit(const Params&, MatrixView<const float> x, const FitContext&) {
    scales_ = rms_scales(x);
    if (x.size() == 0) {
      points_.resize(size_t{1} << (settings_.bits[0] + settings_.bits[1]));
      for (size_t i = 0; i < 2; ++i) levels_[i].set(std::vector<double>(size_t{1} << settings_.bits[i]));
      return;
    }
    encoder_ = std::make_unique<KashinEncoder>(settings_, basis_, x, scales_);
    points_ = encoder_->points();
    for (size_t i = 0; i < 2; ++i) levels_[i] = encoder_->levels(i);
    for (float& s : scales_) s = std::min(s, scale_of(max_code()));
  }

  void load(ByteReader& side) {
    points_.resize(size_t{1} << (settings_.bits[0] + settings_.bits[1]));
    if (settings_.joint) {
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
        levels_[i].level.resize(size_t{1} << settings_.bits[i]);
        get_levels(levels_[i].level, -kMaxKashinLevel, kMaxKashinLevel, side);
      }
      points_.set_grid(levels_[0], levels_[1]);
    }
    scales_ = get_scales(shape_.rows, side, max_code());
  }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "u", .rows = shape_.rows, .cols = shape_.cols, .alphabet = 1u << settings_.bits[0]},
            {.name = "v", .rows = shape_.rows, .cols = shape_.cols, .alphabet = 1u << settings_.bits[1]}};
  }
  Granule granule() const override { return {1, basis_.block() == shape_.cols ? 0 : basis_.block()}; }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 2 && values.shape() == at.shape() && at.col % basis_.block() == 0);
    if (values.size() == 0) return;
    OCC_CHECK(encoder_ != nullptr);
    encoder_->encode(values, std::span(scales_).subspan(at.row, at.rows), symbols[0], symbols[1]);
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

  // x' = s u + s v Q^T, computed row by row.
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

  bool side_grows() const override { return true; }
  void save(ByteWriter& out) const override {
    if (settings_.joint) {
      out.put_array(points_.u.data(), points_.u.size());
      out.put_array(points_.v.data(), points_.v.size());
    } else {
      for (const KashinLevels& l : levels_) out.put_array(l.level.data(), l.level.size());
    }
    put_scales(scales_, out);
  }

 private:
  size_t code(Symbol u, Symbol v) const { return size_t{u} << settings_.bits[1] | v; }

  // Uses the bound |u + Q v| <= |u|_max + sqrt(cols) |v|_max.
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

  const Shape shape_;
  const KashinSettings settings_;
  const KashinBasis basis_;
  KashinLevels levels_[2];     // levels of u and of v; unused with joint clusters
  KashinPoints points_;        // with joint clusters: point number (symbol of u) 2^v + (symbol of v)
  std::vector<float> scales_;  // [rows] the scales, which are exact in bf16
  std::unique_ptr<KashinEncoder> encoder_;
};

}  // namespace

QuantizerEntry kashin_entry() {
  return {"kashin",
          "rows as sums of two vectors with few levels, one of them in a second basis",
          kParams,
          kPlanes,
          fit_quantizer<KashinQuantizer>,
          load_quantizer<KashinQuantizer>};
}

}  // namespace occ
