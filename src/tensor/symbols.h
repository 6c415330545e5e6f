// Symbol planes: what quantizers make and entropy coders take. A plane tells a coder all that it may use without
// knowing the quantizer: alphabet, which axis a line runs along, a table id per line and an optional finite-state
// context.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "occ/matrix.h"

namespace occ {

using Symbol = uint16_t;

// A finite-state machine that runs along every line from state 0. A coder codes each symbol with the statistics of
// context[state]; then state = next[state * classes + (symbol & (classes - 1))].
struct FiniteState {
  uint32_t num_states = 1;        // at most 65,535
  uint32_t num_contexts = 1;      // at most 256
  uint32_t classes = 1;           // a power of two, at most 65,536
  std::vector<uint16_t> next;     // [num_states * classes], values < num_states
  std::vector<uint16_t> context;  // [num_states], values < num_contexts
};

// Symbols are always kept row-major [rows, cols]; a line is a row (left to right) or a column (top to bottom).
enum class LineAxis : uint8_t { kRows, kColumns };

struct SymbolPlane {
  std::string name;
  size_t rows = 0;
  size_t cols = 0;
  uint32_t alphabet = 2;  // symbols are < alphabet, 1 <= alphabet <= 65,536
  LineAxis lines = LineAxis::kRows;
  std::vector<uint8_t> table_ids = {};                    // one per line, or empty: all lines share table 0
  std::shared_ptr<const FiniteState> contexts = nullptr;  // or null: one context

  Shape shape() const { return {rows, cols}; }
  size_t num_lines() const { return lines == LineAxis::kRows ? rows : cols; }
};

// The smallest number of bits that holds every symbol: 0 for an alphabet of one.
constexpr unsigned symbol_width(uint32_t alphabet) {
  unsigned width = 0;
  while ((uint64_t{1} << width) < alphabet) ++width;
  return width;
}

// A unit of random access: rows per tile of a plane. Planes whose lines are rows restart anywhere, so a tile is just
// 2^18 symbols; planes with lines along columns lose at every restart, so a tile has at least 1,024 rows as well.
size_t tile_rows(const SymbolPlane& plane);

}  // namespace occ
