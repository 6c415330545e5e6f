// All that the `rans` coder fixes for one plane: the split, the table id of every line, one table per (id, context).
// A cell is table id * contexts + context.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "entropy/rans_table.h"
#include "occ/matrix.h"
#include "tensor/fit_context.h"
#include "tensor/symbols.h"

namespace occ {

// Tables of one plane; more is a usage error (fit) or an input error (load). 16 KiB of memory each.
constexpr size_t kRansMaxCells = 4096;

struct RansModel {
  SymbolPlane plane;
  RansSplit split;
  uint32_t contexts = 1;
  uint32_t num_ids = 1;
  std::vector<uint8_t> ids;       // one per line: the plane's, or fitted ones; empty: all 0
  std::vector<RansTable> tables;  // [cells]

  uint32_t id(size_t line) const { return ids.empty() ? 0 : ids[line]; }
  size_t cells() const { return tables.size(); }
};

// max_tables: how many tables lines may be clustered into where the plane gives no ids.
RansModel fit_rans_model(const SymbolPlane& plane, MatrixView<const Symbol> symbols, uint32_t max_tables,
                         const FitContext& context);
RansModel load_rans_model(const SymbolPlane& plane, ByteReader& side);
void save_rans_model(const RansModel& model, ByteWriter& out);

}  // namespace occ
