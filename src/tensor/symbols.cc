#include "tensor/symbols.h"

#include <algorithm>

namespace occ {

size_t tile_rows(const SymbolPlane& plane) {
  constexpr size_t kTileSymbols = size_t{1} << 18;
  const size_t cols = std::max<size_t>(plane.cols, 1);
  const size_t rows = (kTileSymbols + cols - 1) / cols;
  return plane.lines == LineAxis::kColumns ? std::max<size_t>(rows, 1024) : rows;
}

}  // namespace occ
