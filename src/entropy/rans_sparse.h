// Nearly constant tiles of the `rans` coder: one symbol for the whole tile and a list of exceptions
// (docs/reference/format.md).
#pragma once

#include <string>

#include "base/bytes.h"
#include "tensor/symbols.h"

namespace occ {

// Returns the byte `mode`, the most frequent symbol in `symbol_bytes` bytes, and for every exception the number of
// symbols since the last exception and the symbol. Returns nothing if that takes more than about 200 bytes.
Bytes encode_sparse(MatrixView<const Symbol> symbols, uint8_t mode, size_t symbol_bytes);

// Decodes the bytes after the mode. `what` names the tile in input errors, which are: symbols that are not below the
// alphabet, too many exceptions, and missing bytes.
void decode_sparse(ByteSpan body, const std::string& what, uint32_t alphabet, size_t symbol_bytes,
                   MatrixView<Symbol> symbols);

}  // namespace occ
