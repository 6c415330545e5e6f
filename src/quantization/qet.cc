// The stage `qet`: product quantization behind an entanglement tree ("Quantum Entanglement Trees", also "HERA";
// docs/explanation/methods/qet.md). Every level of the tree sorts pairs of neighbours into a part of smaller and a part
// of larger values, which vary less, and keeps their order in one bit per pair (entanglement_tree.h). After `levels`
// levels product codebooks (pq.cc) code the parts:
//
//   x -> order [rows, levels * whole / 2], alphabet 2, and codes [rows, m], alphabet k, of X* = [part 0 | part 1 | ...]
//
// where `whole` is the number of columns that form whole groups of 2^levels; the other columns follow the parts
// unsorted. The order takes levels / 2 bits per weight, which count in `bits` together with indices and codebooks.
//   layout=parts   X* as above, as in the paper
//   layout=groups  the values that came from the same 2^levels neighbours are placed side by side, so that they can
//                  share a subspace, whose codebook then knows which of them are smaller. This differs from the paper.
//
// The text and the pseudo-code of the paper disagree on the meaning of the order bit; here it is 1 if the smaller value
// was on the left. If the inputs have second moments H, k-means weighs the errors of the columns of a group by the mean
// of their H_cc. A value may come from any column of its group, so rows are coded as a whole, and error feedback is not
// possible. The paper's residual optimization corresponds to recipes with several terms:
// qet > bitpack + uniform > bitpack.
#include "quantization/qet.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "quantization/entanglement_tree.h"
#include "quantization/make.h"
#include "quantization/pq.h"
#include "quantization/product_codebook.h"

namespace occ {
namespace {

constexpr ParamSpec kParams[] = {
    kBudgetParam,
    int_param("levels", "2", 0, 6, "of the tree, half a bit per weight each"),
    choice_param("layout", "parts", "parts|groups", "sorted values part by part, or by group"),
    kSubspacesParam,
    kCentroidsParam,
    kIterationsParam,
    kCodebookParam,
    kCodebookBitsParam,
    kCodebookScaleParam};
constexpr std::string_view kPlanes[] = {"codes", "order"};
constexpr size_t kPanelRows = 16;

class QetQuantizer final : public Quantizer {
 public:
  QetQuantizer(const Params& params, Shape shape, ErrorKind)
      : shape_(shape),
        levels_(static_cast<unsigned>(params.integer("levels"))),
        by_group_(params.choice("layout") == "groups"),
        whole_(shape.cols >> levels_ << levels_),
        codebook_(params, shape.cols) {}

  void fit(const Params& params, MatrixView<const float> x, const FitContext& context) {
    Matrix<float> sorted = Matrix<float>::uninitialized(x.rows(), x.cols());
    constexpr size_t kRows = 256;
    parallel_for(ceil_div(x.rows(), kRows), [&](size_t p) {
      const size_t first = p * kRows, rows = std::min(kRows, x.rows() - first);
      Matrix<Symbol> order(rows, order_columns());
      for (size_t r = first; r < first + rows; ++r) std::copy_n(x.row(r), x.cols(), sorted.row(r));
      split(sorted.view().row_range(first, rows), order.view());
    });
    codebook_.fit(sorted.view(), sizes(params, context), static_cast<size_t>(params.integer("iterations")),
                  context.seed, weights(context), context.row_weights);
  }
  void clear(const Params& params) { codebook_.clear(sizes(params, {})); }
  void load(ByteReader& side) { codebook_.load(side); }

  std::vector<SymbolPlane> planes() const override {
    return {{.name = "codes", .rows = shape_.rows, .cols = codebook_.subspaces(), .alphabet = codebook_.k()},
            {.name = "order", .rows = shape_.rows, .cols = order_columns(), .alphabet = 2}};
  }
  Granule granule() const override { return {1, 0}; }
  Rect plane_rect(size_t plane, const Rect& at) const override {
    return {at.row, 0, at.rows, plane == 0 ? codebook_.subspaces() : order_columns()};
  }

  void quantize(const Rect& at, MatrixView<float> values, std::span<const MatrixView<Symbol>> symbols) const override {
    OCC_CHECK(symbols.size() == 2 && values.shape() == at.shape() && at.cols == shape_.cols);
    if (values.size() == 0) return;
    split(values, symbols[1]);
    codebook_.encode(0, values, symbols[0]);
    const MatrixView<const Symbol> const_symbols[] = {symbols[0], symbols[1]};
    dequantize(at, const_symbols, values);
  }

  void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                  MatrixView<float> out) const override {
    OCC_CHECK(symbols.size() == 2 && out.shape() == at.shape() && at.cols == shape_.cols);
    if (out.size() == 0) return;
    std::vector<float> work(shape_.cols);
    for (size_t first = 0; first < at.rows; first += kPanelRows) {
      const size_t rows = std::min(kPanelRows, at.rows - first);
      codebook_.decode(0, symbols[0].row_range(first, rows), out.row_range(first, rows));
      for (size_t r = first; r < first + rows; ++r) {
        if (by_group_) move(out.row(r), work.data(), false);
        merge_row(out.row(r), whole_, levels_, symbols[1].row(r), work.data());
      }
    }
  }
  void save(ByteWriter& out) const override { codebook_.save(out); }

 private:
  size_t order_columns() const { return levels_ * (whole_ / 2); }

  ProductSizes sizes(const Params& params, const FitContext& context) const {
    const double order = static_cast<double>(shape_.rows) * static_cast<double>(order_columns());
    return choose_sizes("qet", params, shape_, order, 1, context);
  }

  // Returns the weights of the columns of X*. A value may come from any column of its group.
  std::vector<float> weights(const FitContext& context) const {
    const std::vector<float> plain = column_weights(context, shape_.cols);
    if (plain.empty()) return {};
    const size_t parts = size_t{1} << levels_, groups = whole_ >> levels_;
    std::vector<float> out = plain;
    for (size_t g = 0; g < groups; ++g) {
      float mean = 0;
      for (size_t p = 0; p < parts; ++p) mean += plain[g * parts + p] / static_cast<float>(parts);
      for (size_t p = 0; p < parts; ++p) out[by_group_ ? g * parts + p : p * groups + g] = mean;
    }
    return out;
  }

  // Replaces x [rows, cols] by X*.
  void split(MatrixView<float> x, MatrixView<Symbol> order) const {
    std::vector<float> work(shape_.cols);
    for (size_t r = 0; r < x.rows(); ++r) {
      split_row(x.row(r), whole_, levels_, order.row(r), work.data());
      if (by_group_) move(x.row(r), work.data(), true);
    }
  }

  // Moves element g of part p to place 2^levels g + p (to_groups), or back.
  void move(float* x, float* work, bool to_groups) const {
    const size_t parts = size_t{1} << levels_, groups = whole_ >> levels_;
    for (size_t p = 0; p < parts; ++p) {
      for (size_t g = 0; g < groups; ++g) {
        const size_t by_part = p * groups + g, by_group = g * parts + p;
        work[to_groups ? by_group : by_part] = x[to_groups ? by_part : by_group];
      }
    }
    std::copy_n(work, whole_, x);
  }

  const Shape shape_;
  const unsigned levels_;
  const bool by_group_;
  const size_t whole_;
  ProductCodebook codebook_;
};

}  // namespace

QuantizerEntry qet_entry() {
  return {"qet",
          "product quantization of sorted pairs, whose order is kept in one bit each",
          kParams,
          kPlanes,
          fit_quantizer<QetQuantizer>,
          load_quantizer<QetQuantizer>,
          blank_quantizer<QetQuantizer>};
}

}  // namespace occ
