// Symbol planes: matrices of symbols, made by quantizers and coded by entropy coders. The description of a plane holds
// all that a coder may use without knowing the quantizer: the alphabet, the axis that lines run along, a table for each
// line, and a finite-state machine that gives each symbol a context.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "occ/matrix.h"

namespace occ {

using Symbol = uint16_t;

// A finite-state machine that runs along every line, from state 0 at the beginning of each tile. A coder codes each
// symbol with the statistics of context[state]; then state = next[state * classes + (symbol & (classes - 1))].
struct FiniteState {
  uint32_t num_states = 1;        // at most 65,535
  uint32_t num_contexts = 1;      // at most 256
  uint32_t classes = 1;           // a power of two, at most 65,536
  std::vector<uint16_t> next;     // [num_states * classes], values < num_states
  std::vector<uint16_t> context;  // [num_states], values < num_contexts
};

// Symbols are always stored row-major [rows, cols]. A line is a row, read from left to right, or a column, read from
// top to bottom.
enum class LineAxis : uint8_t { kRows, kColumns };

struct SymbolPlane {
  std::string name;
  size_t rows = 0;
  size_t cols = 0;
  uint32_t alphabet = 2;  // symbols are < alphabet, 1 <= alphabet <= 65,536
  LineAxis lines = LineAxis::kRows;
  std::vector<uint8_t> table_ids = {};                    // the table of each line; empty: all lines share table 0
  std::shared_ptr<const FiniteState> contexts = nullptr;  // null: all symbols have the same context

  Shape shape() const { return {rows, cols}; }
  size_t num_lines() const { return lines == LineAxis::kRows ? rows : cols; }
};

// The smallest number of bits that holds every symbol; 0 for an alphabet of one symbol.
constexpr unsigned symbol_width(uint32_t alphabet) {
  unsigned width = 0;
  while ((uint64_t{1} << width) < alphabet) ++width;
  return width;
}

// Rows per tile, the unit of random access to a plane. A tile has about 2^18 symbols. Where lines run along columns,
// every new tile costs some compression, so a tile then also has at least 1,024 rows.
size_t tile_rows(const SymbolPlane& plane);

}  // namespace occ
