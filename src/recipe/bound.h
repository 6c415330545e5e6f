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
  bool grows = false;  // with the rows of the matrix: symbols, and side information for every row
};

class BoundRecipe {
 public:
  virtual ~BoundRecipe() = default;
  virtual Shape shape() const = 0;
  // Rectangles given to quantize and dequantize start at and span multiples of it, or reach the end; 0: all.
  virtual Granule granule() const = 0;
  // A rectangle of so many rows decodes without decoding others.
  virtual size_t tile_rows() const = 0;

  // `values` has the rectangle `at` and gets its reconstruction, bit for bit what dequantize gives. Thread-safe for
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
  // The symbols that stand for these integers. `at` has whole rows and begins with a tile. body(row, symbols) is called
  // for `rows` rows after the other, fewer at the end of a tile; `row` is the first of them in the matrix.
  virtual void symbols_by_rows(const Rect& at, size_t rows, const SymbolsBody& body) const;

  // Decoded rows as sums of mapped parts (quantizer.h) where there is more than one. Only on a loaded recipe.
  virtual size_t part_count() const { return 1; }
  virtual void parts(const Rect& at, MatrixView<float> out) const;
  virtual void part_inputs(MatrixView<const float> x, MatrixView<float> out) const;

  // Rectangles of fewer rows can be quantized, but more slowly.
  virtual size_t panel_rows() const { return 1; }
  // Where columns are coded with error feedback: sets rows[r] = e_r H e_r^T for the error e_r of every row as it was
  // quantized last, H the second moments that the recipe was fitted with. Otherwise false.
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

// Encoder only (library occ_encode). Reads `source` as often as needed; its values must be finite. `values`, if given,
// gets them all if the recipe has no transforms, which would change them in place, so that they need not be read again;
// otherwise it becomes empty.
std::unique_ptr<BoundRecipe> fit_recipe(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                                        Matrix<float>* values = nullptr);
std::unique_ptr<BoundRecipe> load_recipe(const Recipe& recipe, Shape shape, PlaneReader& planes);

}  // namespace occ
