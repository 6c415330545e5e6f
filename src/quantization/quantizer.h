// QUANTIZE: real plane -> symbol planes and the reconstruction. A bound quantizer has its side information (scales,
// codebooks) fixed for one plane and codes rectangles of it in any order, so that error feedback can wrap it.
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

// What decoding yields where it is small integers times factors, so that matrix products can work on the integers:
//   value(r, c) = (integer - zero) * factor * column_factors[c],  factor and zero number r * row_step + c / group
// of `factors` and `zeros`. An empty span stands for ones; without `zeros` all are common_zero, a multiple of 1/2.
struct IntegerView {
  std::span<const float> factors = {}, zeros = {}, column_factors = {};
  size_t row_step = 0, group = 1;
  float common_zero = 0;
  uint32_t alphabet = 0;  // integers are >= 0 and below it; 0: of any sign
  // The symbols of the only plane are integer + bias; with a machine j + bias (an even number).
  int32_t bias = 0;
  // If not null: integer = 2 j + context[state], contexts 0 and 1, states as in FiniteState with j in place of the
  // symbol, down every column from state 0 on; again from state 0 at every multiple of restart_rows.
  const FiniteState* machine = nullptr;
  size_t restart_rows = 0;
};

class Quantizer {
 public:
  virtual ~Quantizer() = default;
  // Shapes, alphabets and coding hints of its symbol planes.
  virtual std::vector<SymbolPlane> planes() const = 0;
  virtual Granule granule() const { return {1, 1}; }
  // The rectangle of symbol plane i that codes the rectangle `at` of the values. Default: the same one.
  virtual Rect plane_rect(size_t /*plane*/, const Rect& at) const { return at; }

  // values: in, the rectangle `at`; out, its reconstruction, bit for bit what dequantize gives. symbols[i]: the
  // rectangle plane_rect(i, at) of plane i. Values are finite. Thread-safe. Only after fit(): what an encoder learns
  // from the values need not be stored.
  virtual void quantize(const Rect& at, MatrixView<float> values,
                        std::span<const MatrixView<Symbol>> symbols) const = 0;
  // Symbols may come from a hostile file: they are < alphabet (coders check that), nothing more. Fixed order of
  // operations, no libm: the same floats on every CPU. Thread-safe.
  virtual void dequantize(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                          MatrixView<float> out) const = 0;
  // Integers and factors of the decoded values, if they are of that form; integers() then decodes them. The spans live
  // as long as the quantizer.
  virtual std::optional<IntegerView> integer_view() const { return std::nullopt; }
  virtual void integers(const Rect& at, std::span<const MatrixView<const Symbol>> symbols,
                        MatrixView<int32_t> out) const;
  // Where decoded rows are sums of parts, each mapped by an orthonormal matrix, w = p_0 T_0^T + p_1 T_1^T + ..., their
  // number: products <w, x> = sum <p_i, T_i^T x> then need no w. parts(): p_0, p_1, ... of whole rows beside each other
  // [rows, count * cols]; part_inputs(): likewise T_i^T x for the rows of x.
  virtual size_t part_count() const { return 1; }
  virtual void parts(const Rect& at, std::span<const MatrixView<const Symbol>> symbols, MatrixView<float> out) const;
  virtual void part_inputs(MatrixView<const float> x, MatrixView<float> out) const;
  virtual void save(ByteWriter& out) const = 0;
};

struct QuantizerEntry {
  std::string_view name;
  std::string_view summary;
  std::span<const ParamSpec> params;
  std::span<const std::string_view> planes;  // names of its symbol planes; one: {"codes"}
  // Binds to the values x of one plane. Null for a stage whose encoder needs BLAS (see fit registry).
  std::unique_ptr<Quantizer> (*fit)(const Params&, MatrixView<const float> x, const FitContext&);
  std::unique_ptr<Quantizer> (*load)(const Params&, Shape, ByteReader& side);
  // One of that shape with nothing fitted, to tell sizes: where side information is not linear in the number of rows.
  std::unique_ptr<Quantizer> (*blank)(const Params&, Shape) = nullptr;
};

std::span<const QuantizerEntry> quantizer_registry();
const QuantizerEntry* find_quantizer(std::string_view name);

// Encoder side only: entries whose fit needs linalg. Defined in quantization/fit_registry.cc.
using QuantizerFit = std::unique_ptr<Quantizer> (*)(const Params&, MatrixView<const float>, const FitContext&);
QuantizerFit quantizer_fit(const QuantizerEntry& entry);  // never null
bool quantizer_fit_needs_blas(std::string_view name);

}  // namespace occ
