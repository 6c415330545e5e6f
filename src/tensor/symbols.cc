#include "tensor/symbols.h"

#include <algorithm>

#include "tensor/row_source.h"

namespace occ {

size_t tile_rows(const SymbolPlane& plane) {
  const size_t rows = 4 * chunk_rows(plane.cols);  // 2^18 symbols
  return plane.lines == LineAxis::kColumns ? std::max<size_t>(rows, 1024) : rows;
}

}  // namespace occ
