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

// Receives consecutive rows of symbols; `row` is the number of the first row.
using SymbolsBody = std::function<void(size_t row, MatrixView<const Symbol> symbols)>;

class EntropyCoder {
 public:
  virtual ~EntropyCoder() = default;
  // Returns the bytes of one tile. `at` is the tile: rows [at.row, at.row + at.rows) of the plane, with at.col = 0 and
  // at.cols = plane.cols. symbols [at.rows, at.cols] are all below the alphabet. State machines restart at every tile.
  // Thread-safe.
  virtual Bytes encode(const Rect& at, MatrixView<const Symbol> symbols) const = 0;
  // Decodes the symbols of one tile. The bytes may be hostile: bytes that do not fit are an input error, nothing is
  // read or written out of bounds, and all symbols are below the alphabet. Thread-safe.
  virtual void decode(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols) const = 0;
  // Like decode, but calls body(row in the tile, symbols) for `rows` rows at a time, so that a whole tile need not be
  // in memory. An error in the bytes may only be found after the last call.
  virtual void decode_by_rows(const Rect& at, ByteSpan bytes, size_t rows, const SymbolsBody& body) const;
  // Writes the tables: everything that load() needs besides the parameters and the plane.
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
  // Makes the coder from stored tables. Input error for bytes that do not fit.
  std::unique_ptr<EntropyCoder> (*load)(const Params&, const SymbolPlane& plane, ByteReader& side);
  // Returns the exact bytes of a tile of `rows` rows, for coders whose sizes do not depend on the symbols; otherwise
  // null.
  uint64_t (*fixed_bytes)(const Params&, const SymbolPlane& plane, size_t rows) = nullptr;
  // For other coders: the most bytes that such a tile can take, and the most that the tables can take, unless larger
  // tables save more bits than they cost.
  uint64_t (*most_bytes)(const Params&, const SymbolPlane& plane, size_t rows) = nullptr;
  uint64_t most_table_bytes = 0;
};

// All coders, in the order of `occ methods`.
std::span<const CoderEntry> coder_registry();
// Returns the coder with this name, or null.
const CoderEntry* find_coder(std::string_view name);

}  // namespace occ
