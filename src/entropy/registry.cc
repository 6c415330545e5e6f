// All entropy coders. The tests in registry_test.cc run for every entry of this table.
#include <algorithm>
#include <array>

#include "entropy/coders.h"

namespace occ {

void EntropyCoder::decode_by_rows(const Rect& at, ByteSpan bytes, size_t rows, const SymbolsBody& body) const {
  Matrix<Symbol> symbols = Matrix<Symbol>::uninitialized(at.rows, at.cols);
  decode(at, bytes, symbols.view());
  const MatrixView<const Symbol> all = symbols.view();
  for (size_t row = 0; row < at.rows; row += rows) body(row, all.row_range(row, std::min(rows, at.rows - row)));
}

std::span<const CoderEntry> coder_registry() {
  static const std::array<CoderEntry, 2> kCoders = {bitpack_coder(), rans_coder()};
  return kCoders;
}

const CoderEntry* find_coder(std::string_view name) {
  for (const CoderEntry& entry : coder_registry()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace occ
