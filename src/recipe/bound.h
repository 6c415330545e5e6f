// A bound recipe is a recipe whose side information is fixed for one matrix. It quantizes rectangles of values: the
// symbols are kept inside, and the values become the reconstruction. Then it codes the symbols, and it decodes
// rectangles from coded planes. fit_recipe makes a bound recipe from values, load_recipe from coded planes. Encoder,
// decoder and operators use the same tree of nodes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "entropy/coder.h"
#include "occ/matrix.h"
#include "quantization/quantizer.h"
#include "recipe/recipe.h"
#include "tensor/fit_context.h"
#include "tensor/row_source.h"

namespace occ {

// One stored plane: the side information of a stage, the tables of a coder, or the coded symbols.
struct CodedPlane {
  std::string name;  // path for messages and tables, e.g. "uniform", "codes.rans", "codes", "head/uniform"
  Bytes bytes;
  bool grows = false;  // whether its size grows with the rows: symbols, and side information for every row
};

class BoundRecipe {
 public:
  virtual ~BoundRecipe() = default;
  virtual Shape shape() const = 0;
  // Rectangles for quantize and dequantize must start at a multiple of the granule. They span a multiple of it or reach
  // the end of the matrix. 0 stands for all rows or all columns.
  virtual Granule granule() const = 0;
  // The number of rows in a tile. A tile is decoded without decoding other rows.
  virtual size_t tile_rows() const = 0;

  // Quantizes the rectangle `at`. `values` holds its values and receives their reconstruction, bit for bit as
  // dequantize gives it. Thread-safe for disjoint rectangles. Only for a fitted recipe, before code().
  virtual void quantize(const Rect& at, MatrixView<float> values) = 0;
  // Codes all symbols and frees them. The planes are appended in the order in which load_recipe reads them.
  virtual void code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) = 0;
  // Decodes a rectangle. Only for a loaded recipe. Thread-safe.
  virtual void dequantize(const Rect& at, MatrixView<float> out) const = 0;
  // If the decoded values are integers times factors (quantizer.h), integer_view gives the factors, and integers()
  // gives the integers of a rectangle that is valid for dequantize. Only for a loaded recipe.
  virtual std::optional<IntegerView> integer_view() const { return std::nullopt; }
  virtual void integers(const Rect& at, MatrixView<int32_t> out) const;
  // Decodes the symbols that stand for these integers. `at` has whole rows and begins at the start of a tile.
  // body(row, symbols) is called for `rows` rows at a time, or fewer at the end of a tile; `row` is the index of the
  // first of these rows in the matrix.
  virtual void symbols_by_rows(const Rect& at, size_t rows, const SymbolsBody& body) const;

  // If the rows are those of a product quantizer, returns how they are made of its codes (quantizer.h), otherwise null.
  // codes_of then calls body(planes) with the symbols of `rows` rows from `row` on. Only for a loaded recipe.
  using CodesBody = std::function<void(std::span<const MatrixView<const Symbol>>)>;
  virtual const ProductCodes* product_codes() const { return nullptr; }
  virtual void codes_of(size_t row, size_t rows, const CodesBody& body) const;

  // If decoded rows are sums of parts (quantizer.h), these give the number of parts, the parts of a rectangle, and the
  // inputs that belong to them. Only for a loaded recipe.
  virtual size_t part_count() const { return 1; }
  virtual void parts(const Rect& at, MatrixView<float> out) const;
  virtual void part_inputs(MatrixView<const float> x, MatrixView<float> out) const;

  // The number of rows that quantize should get at once. Rectangles of fewer rows are allowed, but slower.
  virtual size_t panel_rows() const { return 1; }
  // If columns are coded with error feedback, sets rows[r] = e_r H e_r^T and returns true. e_r is the error of row r as
  // it was quantized last, and H are the second moments with which the recipe was fitted. Otherwise returns false.
  virtual bool weighted_errors(std::span<double> /*rows*/) const { return false; }
};

// Gives out stored planes one after the other. The planes must outlive the bound recipe.
class PlaneReader {
 public:
  // `what` names the source in errors, e.g. "m.occ: tensor 'w'".
  PlaneReader(std::vector<ByteSpan> planes, std::string what) : planes_(std::move(planes)), what_(std::move(what)) {}
  ByteReader next(const std::string& name);
  void expect_done() const;
  const std::string& what() const { return what_; }

 private:
  std::vector<ByteSpan> planes_;
  size_t at_ = 0;
  std::string what_;
};

// Returns the names of the planes in the order in which they are stored, for messages and tables.
std::vector<std::string> plane_names(const Recipe& recipe);

// Fits a recipe to a matrix. Only in the encoder (library occ_encode). Reads `source` as often as needed; its values
// must be finite. If the recipe has no transforms and `values` is not null, `values` receives all values of the source,
// so that they need not be read again. With transforms, which change the values in place, it becomes empty.
std::unique_ptr<BoundRecipe> fit_recipe(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                                        Matrix<float>* values = nullptr);
std::unique_ptr<BoundRecipe> load_recipe(const Recipe& recipe, Shape shape, PlaneReader& planes);

}  // namespace occ
