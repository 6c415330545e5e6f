// The stage `pq`: product quantization (Jegou, Douze, Schmid: Product Quantization for Nearest Neighbor Search, 2011).
// The columns are divided into m subspaces of `width` neighbours, and the part of a row in each subspace becomes one of
// the k centroids of its codebook:
//
//   x_r = [c_1[q_r1] | c_2[q_r2] | ... | c_m[q_rm]],  symbol plane [rows, m], alphabet k
//
// It takes log2(k) / width bits per weight for indices and 16 k / rows for codebooks in f16 (product_codebook.h has
// cheaper forms). If m or k is not given, it follows from `bits`, which covers both. Cost: k multiply-adds per weight
// to encode and for each iteration of the fit, one look-up per subspace to decode.
//
// What differs from the paper: k-means starts with k-means++ and repairs empty clusters. If the inputs have second
// moments H, k-means and the search weigh errors of columns by H_cc and errors of rows by their costs. The vectors of a
// subspace are one granule, so that error feedback is possible.
#include "quantization/pq.h"

#include "base/check.h"
#include "base/parallel.h"
#include "quantization/make.h"
#include "quantization/product_codebook.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {kBudgetParam,   kSubspacesParam,    kCentroidsParam,    kIterationsParam,
                                 kCodebookParam, kCodebookBitsParam, kCodebookScaleParam};
constexpr std::string_view kPlanes[] = {"codes"};

class PqQuantizer final : public Quantizer, public ProductCodes {
 public:
  PqQuantizer(const Params& params, Shape shape, ErrorKind) : shape_(shape), codebook_(params, shape.cols) {}

  void fit(const Params& params, MatrixView<const float> x, const FitContext& context) {
    codebook_.fit(x, choose_sizes("pq", params, shape_, 0, 1, context),
                  static_cast<size_t>(params.integer("iterations")), context.seed, column_weights(context, shape_.cols),
                  context.row_weights);
  }
  void clear(const Params& params) { codebook_.clear(choose_sizes("pq", params, shape_, 0, 1, {})); }
  void load(ByteReader& side) { codebook_.load(side); }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "codes", .rows = shape_.rows, .cols = codebook_.subspaces(), .alphabet = codebook_.k()}};
  }
  Granule granule() const override { return {1, codebook_.width()}; }
  Rect plane_rect(size_t /*plane*/, const Rect& at) const override {
    const size_t width = codebook_.width();
    return {at.row, at.col / width, at.rows, ceil_div(at.cols, width)};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 1 && values.shape() == at.shape() && at.col % codebook_.width() == 0);
    const size_t first = at.col / codebook_.width();
    codebook_.encode(first, values, symbols[0]);
    codebook_.decode(first, symbols[0], values);
  }
  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 1 && out.shape() == at.shape() && at.col % codebook_.width() == 0);
    codebook_.decode(at.col / codebook_.width(), symbols[0], out);
  }
  void save(ByteWriter& out) const override { codebook_.save(out); }
  const ProductCodes* product_codes() const override { return this; }
  const ProductCodebook& codebook(size_t /*cluster*/) const override { return codebook_; }

 private:
  const Shape shape_;
  ProductCodebook codebook_;
};

}  // namespace

std::vector<float> column_weights(const FitContext& context, size_t cols) {
  std::vector<double> weights;
  if (!context.feedback_scales.empty()) {
    for (const double l : context.feedback_scales) weights.push_back(l * l);
  } else if (context.hessian.size() != 0) {
    for (size_t c = 0; c < cols; ++c) weights.push_back(context.hessian(c, c));
  }
  double mean = 0;
  for (const double w : weights) mean += w / static_cast<double>(cols);
  if (!(mean > 0) || weights.size() != cols) return {};
  std::vector<float> out;
  for (const double w : weights)
    out.push_back(static_cast<float>((w / mean + context.damping) / (1 + context.damping)));
  return out;
}

QuantizerEntry pq_entry() {
  return {"pq",
          "product quantization: every part of a row is one of k centroids",
          kParams,
          kPlanes,
          fit_quantizer<PqQuantizer>,
          load_quantizer<PqQuantizer>,
          blank_quantizer<PqQuantizer>};
}

}  // namespace occ
