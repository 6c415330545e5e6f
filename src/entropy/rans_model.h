// All that the `rans` coder fixes for one plane: the split of symbols, the ids of lines and of positions along them,
// and the frequency tables. The table of a symbol is number id of the line + cross id of the position: where scales of
// rows and columns multiply, their logarithms and therefore these ids add. A cell is one table for one context, number
// table * contexts + context.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "entropy/rans_table.h"
#include "occ/matrix.h"
#include "tensor/symbols.h"

namespace occ {

// The largest number of cells of a plane. More are a usage error in a fit and an input error when loading. Each cell
// takes 16 KiB of memory in the decoder.
constexpr size_t kRansMaxCells = 4096;

struct RansModel {
  SymbolPlane plane;
  RansSplit split;
  uint32_t contexts = 1;
  uint32_t num_ids = 1;
  uint32_t num_cross = 1;          // 2 to 256 if there are cross ids
  std::vector<uint8_t> ids;        // id of each line, given by the plane or fitted; empty: all are 0
  std::vector<uint8_t> cross_ids;  // id of each position along the lines; empty: all are 0
  std::vector<RansTable> tables;   // [cells]
  std::vector<uint32_t> mirrors;   // [contexts] see rans_side_code.h; only used to save the tables

  uint32_t id(size_t line) const { return ids.empty() ? 0 : ids[line]; }
  uint32_t cross_id(size_t position) const { return cross_ids.empty() ? 0 : cross_ids[position]; }
  size_t num_tables() const { return size_t{num_ids} + num_cross - 1; }
  size_t cells() const { return tables.size(); }
};

// Fits a model to all symbols of the plane. max_tables is the largest number of tables if the plane gives no ids.
RansModel fit_rans_model(const SymbolPlane& plane, MatrixView<const Symbol> symbols, uint32_t max_tables);
// Reads what save_rans_model wrote. Input error for bytes that do not fit.
RansModel load_rans_model(const SymbolPlane& plane, ByteReader& side);
void save_rans_model(const RansModel& model, ByteWriter& out);

}  // namespace occ
