// A bound recipe: a recipe with all side information fixed for one matrix. It quantizes rectangles of values (symbols
// are kept inside, values become the reconstruction), codes the symbols, and decodes rectangles from coded planes.
// fit_recipe makes one from values, load_recipe from coded planes: encoder, decoder and operators share the same tree.
#pragma once

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
  std::string name;  // path for people, e.g. "uniform", "codes.rans", "codes", "head/uniform"
  Bytes bytes;
};

class BoundRecipe {
 public:
  virtual ~BoundRecipe() = default;
  virtual Shape shape() const = 0;
  // Rectangles given to quantize and dequantize start at and span multiples of it, or reach the end; 0: all.
  virtual Granule granule() const = 0;
  // Rows that decode together without waste.
  virtual size_t tile_rows() const = 0;

  // values: in, the rectangle `at`; out, its reconstruction, bit for bit what dequantize gives. Thread-safe for
  // disjoint rectangles. Only on a fitted recipe, before code().
  virtual void quantize(const Rect& at, MatrixView<float> values) = 0;
  // Codes all symbols; frees them. Planes are appended in the order in which load_recipe takes them.
  virtual void code(const FitContext& ctx, const std::string& path, std::vector<CodedPlane>* planes) = 0;
  // Decodes a rectangle. Only on a loaded recipe. Thread-safe.
  virtual void dequantize(const Rect& at, MatrixView<float> out) const = 0;
  // Where decoded values are integers times factors (quantizer.h): these factors, and the integers of a rectangle as
  // dequantize takes them. Only on a loaded recipe.
  virtual std::optional<IntegerView> integer_view() const { return std::nullopt; }
  virtual void integers(const Rect& at, MatrixView<int32_t> out) const;
  // The symbols that stand for them: body(row, symbols) for `rows` rows after the other of whole rows that begin with a
  // tile; the last of a tile may be fewer. The row counts from the first of the matrix.
  virtual void symbols_by_rows(const Rect& at, size_t rows, const SymbolsBody& body) const;

  // Decoded rows as sums of mapped parts (quantizer.h) where there is more than one. Only on a loaded recipe.
  virtual size_t part_count() const { return 1; }
  virtual void parts(const Rect& at, MatrixView<float> out) const;
  virtual void part_inputs(MatrixView<const float> x, MatrixView<float> out) const;

  // Rows that quantize together without waste: rectangles with fewer work, but more slowly.
  virtual size_t panel_rows() const { return 1; }
  // Where columns are coded with error feedback: rows[r] = e_r H e_r^T of every row as last quantized, H the second
  // moments that the recipe was fitted with. Otherwise false.
  virtual bool weighted_errors(std::span<double> /*rows*/) const { return false; }
};

// Hands out stored planes one after the other; they must outlive the bound recipe.
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

// Names of the planes in stored order, for people.
std::vector<std::string> plane_names(const Recipe& recipe);

// Encoder (library occ_encode). Reads `source` as often as needed; values must be finite. `values`, if given, gets all
// of them where fitting left them as they were (no transforms), so that they need not be read again; otherwise it is
// empty.
std::unique_ptr<BoundRecipe> fit_recipe(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                                        Matrix<float>* values = nullptr);
std::unique_ptr<BoundRecipe> load_recipe(const Recipe& recipe, Shape shape, PlaneReader& planes);

}  // namespace occ
