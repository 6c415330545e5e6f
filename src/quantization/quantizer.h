// QUANTIZE: a real matrix becomes one or more matrices of symbols (symbol planes) and its reconstruction. A bound
// quantizer has its side information (scales, levels, codebooks) fixed for one matrix, the plane, and codes rectangles
// of it in any order, so that error feedback can be wrapped around it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "tensor/fit_context.h"
#include "tensor/symbols.h"

namespace occ {

// The decoded values of a quantizer in a form in which they are small integers times factors, so that matrix products
// can work on the integers:
//
//   value(r, c) = (integer(r, c) - zero) * factor * column_factors[c]
//
// The factor and the zero have the number r * row_step + c / group. An empty span of factors means that all are 1.
// Without `zeros`, every zero is common_zero, a multiple of 1/2.
struct IntegerView {
  std::span<const float> factors = {}, zeros = {}, column_factors = {};
  size_t row_step = 0, group = 1;
  float common_zero = 0;
  uint32_t alphabet = 0;  // 0 <= integer < alphabet; 0: integers can have any sign
  // The symbols of the only plane are integer + bias, or j + bias if there is a state machine; then bias is even.
  int32_t bias = 0;
  // If not null, integer = 2 j + context[state], where a context is 0 or 1. The states are those of a FiniteState that
  // reads j in place of the symbol, down every column. It starts in state 0 at row 0 and at every multiple of
  // restart_rows.
  const FiniteState* machine = nullptr;
  size_t restart_rows = 0;
};

class ProductCodebook;

// How a product quantizer makes rows of its codes. A search compares vectors with the codes by it, without decoding
// rows. The last symbol plane has the codes [rows, subspaces]; if there are two planes, the first has the cluster of
// each row [rows, 1]. A decoded row of cluster j is from_coordinates(j, [c_1[q_1] | c_2[q_2] | ...]), where c is the
// codebook of the cluster.
class ProductCodes {
 public:
  virtual ~ProductCodes() = default;
  virtual size_t clusters() const { return 1; }
  virtual const ProductCodebook& codebook(size_t cluster) const = 0;
  // Map rows in place: a rotation and a shift, and their inverse up to rounding. Unless rotates() is true, rows do not
  // change.
  virtual bool rotates() const { return false; }
  virtual void to_coordinates(size_t /*cluster*/, MatrixView<float> /*x*/) const {}
  virtual void from_coordinates(size_t /*cluster*/, MatrixView<float> /*y*/) const {}
};

class Quantizer {
 public:
  virtual ~Quantizer() = default;
  // Returns names, shapes, alphabets and coding hints of the symbol planes.
  virtual std::vector<SymbolPlane> planes() const = 0;
  // Returns the unit of the rectangles that can be coded on their own.
  virtual Granule granule() const { return {1, 1}; }
  // Returns the rectangle of symbol plane number `plane` that codes the rectangle `at` of the values. By default it is
  // the same rectangle.
  virtual Rect plane_rect(size_t /*plane*/, const Rect& at) const { return at; }

  // Codes a rectangle. `values` has the finite values of the rectangle `at`, and receives their reconstruction, bit for
  // bit as dequantize gives it. symbols[i] receives the rectangle plane_rect(i, at) of symbol plane i. Only for a
  // quantizer made by fit, because what only the encoder needs is not stored. Thread-safe.
  virtual void quantize(const Rect& at, MatrixView<float> values,
                        std::span<const MatrixView<Symbol>> symbols) const = 0;
  // Decodes a rectangle. The symbols may come from a hostile file: the coders guarantee that they are below the
  // alphabet and nothing else. The operations have a fixed order and use no math library, so that every CPU gives the
  // same floats. Thread-safe.
  virtual void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                          MatrixView<float> out) const = 0;
  // Returns the decoded values as integers and factors, if they have that form. The spans are valid as long as the
  // quantizer.
  virtual std::optional<IntegerView> integer_view() const { return std::nullopt; }
  // Decodes the integers of a rectangle. Only if integer_view() returns something.
  virtual void integers(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                        MatrixView<int32_t> out) const;
  // Returns the number of terms if a decoded row is a sum w = p_0 T_0^T + p_1 T_1^T + ... with orthonormal matrices
  // T_i, otherwise 1. Products <w, x> = sum_i <p_i, T_i^T x> can then be computed without w.
  virtual size_t part_count() const { return 1; }
  // Decodes p_0, p_1, ... of whole rows side by side: out [rows, part_count() * cols]. Only if part_count() > 1.
  virtual void parts(const Rect& at, std::span<const MatrixView<const Symbol>> symbols, MatrixView<float> out) const;
  // Computes T_0^T x, T_1^T x, ... of the rows of x [n, cols] side by side: out [n, part_count() * cols]. Only if
  // part_count() > 1.
  virtual void part_inputs(MatrixView<const float> x, MatrixView<float> out) const;
  // Returns how rows are made of the codes if this is a product quantizer, otherwise null.
  virtual const ProductCodes* product_codes() const { return nullptr; }
  // Writes the side information: everything that load() needs besides the parameters and the shape.
  virtual void save(ByteWriter& out) const = 0;
  // Whether save() writes more bytes for more rows.
  virtual bool side_grows() const { return false; }
};

// A registered quantizer.
struct QuantizerEntry {
  std::string_view name;
  std::string_view summary;  // one line for `occ methods`
  std::span<const ParamSpec> params;
  std::span<const std::string_view> planes;  // names of the symbol planes; {"codes"} if there is only one
  // Makes the quantizer for the values x of one plane. Wrong parameters are usage errors. Null for a quantizer whose
  // encoder needs BLAS; quantizer_fit() finds its function.
  std::unique_ptr<Quantizer> (*fit)(const Params&, MatrixView<const float> x, const FitContext&);
  // Makes the quantizer from stored side information. Input error for bytes that do not fit.
  std::unique_ptr<Quantizer> (*load)(const Params&, Shape, ByteReader& side);
  // Makes a quantizer for this shape without values, to predict sizes. Only needed if the size of the side information
  // is not linear in the number of rows.
  std::unique_ptr<Quantizer> (*blank)(const Params&, Shape) = nullptr;
};

// All quantizers, in the order of `occ methods`.
std::span<const QuantizerEntry> quantizer_registry();
// Returns the quantizer with this name, or null.
const QuantizerEntry* find_quantizer(std::string_view name);

// Returns entry.fit, or the function that needs BLAS; never null. Only for encoders (library occ_encode,
// quantization/fit_registry.cc).
using QuantizerFit = std::unique_ptr<Quantizer> (*)(const Params&, MatrixView<const float>, const FitContext&);
QuantizerFit quantizer_fit(const QuantizerEntry& entry);
bool quantizer_fit_needs_blas(std::string_view name);

}  // namespace occ
