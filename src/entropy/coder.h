// CODE: symbol plane -> bytes, tile by tile. A bound coder has its tables fixed for one plane; tiles are independent.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "tensor/fit_context.h"
#include "tensor/symbols.h"

namespace occ {

// Rows of symbols and where they begin.
using SymbolsBody = std::function<void(size_t row, MatrixView<const Symbol> symbols)>;

class EntropyCoder {
 public:
  virtual ~EntropyCoder() = default;
  // `at`: a tile, whole rows [at.row, at.row + at.rows) of the plane (at.col = 0, at.cols = plane.cols); symbols has
  // its shape. Finite-state contexts restart at every tile. Thread-safe.
  virtual Bytes encode(const Rect& at, MatrixView<const Symbol> symbols) const = 0;
  // Bytes may be hostile: input error, never a read or write out of bounds, never a symbol >= alphabet. Thread-safe.
  virtual void decode(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols) const = 0;
  // The same with body(row in the tile, symbols) for `rows` rows after the other, so that they need not all be in
  // memory. What is wrong with a tile may show only after the last.
  virtual void decode_by_rows(const Rect& at, ByteSpan bytes, size_t rows, const SymbolsBody& body) const;
  // Tables: all that load() needs besides params and the plane.
  virtual void save(ByteWriter& out) const = 0;
};

struct CoderEntry {
  std::string_view name;
  std::string_view summary;
  std::span<const ParamSpec> params;
  // Fits the tables to all symbols of a plane [plane.rows, plane.cols].
  std::unique_ptr<EntropyCoder> (*fit)(const Params&, const SymbolPlane& plane, MatrixView<const Symbol> symbols,
                                       const FitContext&);
  std::unique_ptr<EntropyCoder> (*load)(const Params&, const SymbolPlane& plane, ByteReader& side);
  // Exact bytes of one tile of the given rows when that does not depend on the symbols (bitpack); null otherwise.
  uint64_t (*fixed_bytes)(const Params&, const SymbolPlane& plane, size_t rows);
};

std::span<const CoderEntry> coder_registry();
const CoderEntry* find_coder(std::string_view name);

}  // namespace occ
