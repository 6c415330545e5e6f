// All that the `rans` coder fixes for one plane: the split, ids of lines and of positions along them, tables. The table
// of a symbol is the sum of its line's and its position's id: scales that multiply have classes that add. A cell is
// table * contexts + context.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "entropy/rans_table.h"
#include "occ/matrix.h"
#include "tensor/symbols.h"

namespace occ {

// Tables of one plane; more is a usage error (fit) or an input error (load). 16 KiB of memory each.
constexpr size_t kRansMaxCells = 4096;

struct RansModel {
  SymbolPlane plane;
  RansSplit split;
  uint32_t contexts = 1;
  uint32_t num_ids = 1;
  uint32_t num_cross = 1;          // 2 to 256 with cross ids
  std::vector<uint8_t> ids;        // one per line: the plane's, or fitted ones; empty: all 0
  std::vector<uint8_t> cross_ids;  // one per position along the lines, or empty: all 0
  std::vector<RansTable> tables;   // [cells]

  uint32_t id(size_t line) const { return ids.empty() ? 0 : ids[line]; }
  uint32_t cross_id(size_t position) const { return cross_ids.empty() ? 0 : cross_ids[position]; }
  size_t num_tables() const { return size_t{num_ids} + num_cross - 1; }
  size_t cells() const { return tables.size(); }
};

// max_tables: how many tables (of all contexts) there may be where the plane gives no ids.
RansModel fit_rans_model(const SymbolPlane& plane, MatrixView<const Symbol> symbols, uint32_t max_tables);
RansModel load_rans_model(const SymbolPlane& plane, ByteReader& side);
void save_rans_model(const RansModel& model, ByteWriter& out);

}  // namespace occ
