// CODE: a symbol plane becomes bytes, tile by tile. A tile is a number of whole rows (tile_rows in tensor/symbols.h)
// and is decoded on its own. A bound coder has its frequency tables fixed for one plane.
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

// Receives consecutive rows of symbols, the first of which is number `row`.
using SymbolsBody = std::function<void(size_t row, MatrixView<const Symbol> symbols)>;

class EntropyCoder {
 public:
  virtual ~EntropyCoder() = default;
  // The bytes of one tile. at: the tile, rows [at.row, at.row + at.rows) of the plane with at.col = 0 and at.cols =
  // plane.cols. symbols [at.rows, at.cols], all below the alphabet. State machines restart at every tile. Thread-safe.
  virtual Bytes encode(const Rect& at, MatrixView<const Symbol> symbols) const = 0;
  // The symbols of one tile. The bytes may be hostile: whatever does not fit is an input error; nothing is read or
  // written out of bounds, and no symbol reaches the alphabet. Thread-safe.
  virtual void decode(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols) const = 0;
  // As decode, but calls body(row in the tile, symbols) for `rows` rows at a time, so that a whole tile need not be in
  // memory. An error in the bytes may be found only after the last call.
  virtual void decode_by_rows(const Rect& at, ByteSpan bytes, size_t rows, const SymbolsBody& body) const;
  // Writes the tables: all that load() needs besides the parameters and the plane.
  virtual void save(ByteWriter& out) const = 0;
};

// A registered coder.
struct CoderEntry {
  std::string_view name;
  std::string_view summary;  // one line for `occ methods`
  std::span<const ParamSpec> params;
  // Makes the coder for all symbols [plane.rows, plane.cols] of a plane.
  std::unique_ptr<EntropyCoder> (*fit)(const Params&, const SymbolPlane& plane, MatrixView<const Symbol> symbols,
                                       const FitContext&);
  // Makes it from stored tables. Anything that does not fit is an input error.
  std::unique_ptr<EntropyCoder> (*load)(const Params&, const SymbolPlane& plane, ByteReader& side);
  // The exact bytes of a tile of `rows` rows, for coders whose sizes do not depend on the symbols; otherwise null.
  uint64_t (*fixed_bytes)(const Params&, const SymbolPlane& plane, size_t rows) = nullptr;
  // For other coders: the most bytes that such a tile takes, and the most that the tables take, unless larger ones pay
  // for themselves.
  uint64_t (*most_bytes)(const Params&, const SymbolPlane& plane, size_t rows) = nullptr;
  uint64_t most_table_bytes = 0;
};

// All coders, in the order of `occ methods`.
std::span<const CoderEntry> coder_registry();
// The coder of that name, or null.
const CoderEntry* find_coder(std::string_view name);

}  // namespace occ
