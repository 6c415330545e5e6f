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

// The decoded values of a quantizer where they are small integers times factors, so that matrix products can work on
// the integers:
//
//   value(r, c) = (integer(r, c) - zero) * factor * column_factors[c]
//
// with the factor and the zero of number r * row_step + c / group. An empty span of factors stands for ones; without
// `zeros` every zero is common_zero, a multiple of 1/2.
struct IntegerView {
  std::span<const float> factors = {}, zeros = {}, column_factors = {};
  size_t row_step = 0, group = 1;
  float common_zero = 0;
  uint32_t alphabet = 0;  // integers are >= 0 and < alphabet; 0: they may have any sign
  // The symbols of the only plane are integer + bias, or j + bias (an even number) with a state machine.
  int32_t bias = 0;
  // If not null, integer = 2 j + context[state] with the contexts 0 and 1. The states are those of a FiniteState that
  // reads j in place of the symbol, down every column, from state 0 at row 0 and at every multiple of restart_rows.
  const FiniteState* machine = nullptr;
  size_t restart_rows = 0;
};

class Quantizer {
 public:
  virtual ~Quantizer() = default;
  // Names, shapes, alphabets and coding hints of the symbol planes.
  virtual std::vector<SymbolPlane> planes() const = 0;
  // The unit of the rectangles that can be coded on their own.
  virtual Granule granule() const { return {1, 1}; }
  // The rectangle of symbol plane number `plane` that codes the rectangle `at` of the values. By default it is the
  // same.
  virtual Rect plane_rect(size_t /*plane*/, const Rect& at) const { return at; }

  // Codes a rectangle. values: the rectangle `at` of the plane, finite; replaced by its reconstruction, bit for bit
  // what dequantize gives. symbols[i]: the rectangle plane_rect(i, at) of symbol plane i. Only on a quantizer made by
  // fit, since what only the encoder needs is not stored. Thread-safe.
  virtual void quantize(const Rect& at, MatrixView<float> values,
                        std::span<const MatrixView<Symbol>> symbols) const = 0;
  // Decodes a rectangle. The symbols may come from a hostile file: the coders guarantee that they are below the
  // alphabet and nothing else. The operations have a fixed order and use no math library, so that every CPU gives the
  // same floats. Thread-safe.
  virtual void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                          MatrixView<float> out) const = 0;
  // The decoded values as integers and factors, if they have that form. The spans live as long as the quantizer.
  virtual std::optional<IntegerView> integer_view() const { return std::nullopt; }
  // Decodes the integers of a rectangle. Only if integer_view() gives something.
  virtual void integers(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                        MatrixView<int32_t> out) const;
  // Where a decoded row is a sum w = p_0 T_0^T + p_1 T_1^T + ... with orthonormal matrices T_i: the number of terms.
  // Products <w, x> = sum_i <p_i, T_i^T x> then need no w. Otherwise 1.
  virtual size_t part_count() const { return 1; }
  // Decodes p_0, p_1, ... of whole rows side by side, out [rows, part_count() * cols]. Only if part_count() > 1.
  virtual void parts(const Rect& at, std::span<const MatrixView<const Symbol>> symbols, MatrixView<float> out) const;
  // T_0^T x, T_1^T x, ... of the rows of x [n, cols] side by side, out [n, part_count() * cols]. Only if
  // part_count() > 1.
  virtual void part_inputs(MatrixView<const float> x, MatrixView<float> out) const;
  // Writes the side information: all that load() needs besides the parameters and the shape.
  virtual void save(ByteWriter& out) const = 0;
  // Whether save() writes more for more rows.
  virtual bool side_grows() const { return false; }
};

// A registered quantizer.
struct QuantizerEntry {
  std::string_view name;
  std::string_view summary;  // one line for `occ methods`
  std::span<const ParamSpec> params;
  std::span<const std::string_view> planes;  // names of the symbol planes; {"codes"} if there is only one
  // Makes the quantizer for the values x of one plane. Wrong parameters are usage errors. Null for a quantizer whose
  // encoder needs BLAS: quantizer_fit() finds its function.
  std::unique_ptr<Quantizer> (*fit)(const Params&, MatrixView<const float> x, const FitContext&);
  // Makes it from stored side information. Anything that does not fit is an input error.
  std::unique_ptr<Quantizer> (*load)(const Params&, Shape, ByteReader& side);
  // Makes one of that shape without values, to predict sizes. Needed only where the size of the side information is not
  // linear in the number of rows.
  std::unique_ptr<Quantizer> (*blank)(const Params&, Shape) = nullptr;
};

// All quantizers, in the order of `occ methods`.
std::span<const QuantizerEntry> quantizer_registry();
// The quantizer of that name, or null.
const QuantizerEntry* find_quantizer(std::string_view name);

// For encoders only (library occ_encode, quantization/fit_registry.cc): entry.fit, or the function that needs BLAS.
// Never null.
using QuantizerFit = std::unique_ptr<Quantizer> (*)(const Params&, MatrixView<const float>, const FitContext&);
QuantizerFit quantizer_fit(const QuantizerEntry& entry);
bool quantizer_fit_needs_blas(std::string_view name);

}  // namespace occ
