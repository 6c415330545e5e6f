// A matrix of small integers in RAM, packed so that products unpack it at the speed of memory: see int8_kernels.h for
// the cells, docs/models.md for the form as a whole.
//
//   integer(r, c) = k'(r, c) + base(cell) + delta of an escape, if there is one
//
// Panels of up to 64 rows (they begin anew where a state machine restarts) are cut into cells of 256 columns. Every
// cell has the number of bits that takes least memory with its outliers aside: those are listed as escapes, 32 bits
// each. A panel holds the states of its first row, so that it can be read without what is above it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "occ/matrix.h"
#include "operators/int8_kernels.h"
#include "quantization/quantizer.h"

namespace occ {

// A row of a cell: codes [32 groups], each < 2^bits.
void pack_row(const uint8_t* codes, unsigned bits, size_t groups, uint8_t* out);

class PackedIntegers {
 public:
  // Where the integers come from: read(rows, out) fills out with rows [rows.row, rows.row + rows.rows).
  struct Source {
    Shape shape;
    size_t tile_rows = 1;                  // read at once, from multiples of it on
    uint32_t alphabet = 0;                 // as in IntegerView
    const FiniteState* machine = nullptr;  // as in IntegerView; walks restart with tiles
    std::function<void(const Rect& rows, MatrixView<int32_t> out)> read;
  };
  // Null if too many integers do not fit into 8 bits.
  static std::unique_ptr<PackedIntegers> pack(const Source& source);

  // Whether a state machine of this kind can be carried: few states, their context in the integers.
  static bool can_carry(const FiniteState* machine);

  struct Escape {
    size_t row, col;  // in the cell
    int32_t delta;
  };
  static Escape unpack_escape(uint32_t e) { return {e >> 26, e >> 18 & 255, static_cast<int32_t>(e << 14) >> 14}; }

  // Codes from low to low + 2^bits - 1.
  struct Window {
    int32_t low = 0;
    unsigned bits = 0;
  };

  Shape shape() const { return shape_; }
  size_t panels() const { return panels_.size(); }
  size_t cells() const { return (shape_.cols + kCellColumns - 1) / kCellColumns; }
  size_t first_row(size_t panel) const { return panels_[panel].row; }
  size_t panel_rows(size_t panel) const { return panels_[panel].rows; }
  size_t panel_of(size_t row) const { return row / tile_rows_ * panels_per_tile_ + row % tile_rows_ / kCellRows; }
  // The first `rows` rows of a cell, or, where nothing is carried, rows [first, first + rows): k' as unpack_cell gives
  // them.
  void unpack(size_t panel, size_t cell, size_t first, size_t rows, uint8_t* out) const;
  bool carried() const { return !next_.empty(); }
  int32_t base(size_t panel, size_t cell) const { return panels_[panel].cells[cell].base; }
  unsigned most(size_t panel, size_t cell) const;  // no k' is larger
  size_t groups(size_t cell) const;
  std::span<const uint32_t> escapes(size_t panel, size_t cell) const;

  uint64_t resident_bytes() const;
  double mean_bits() const;  // of a code

 private:
  struct Cell {
    uint32_t offset = 0;  // in the panel's data
    uint32_t first_escape = 0;
    int32_t base = 0;
    uint32_t bits = 0;
  };
  struct Panel {
    size_t row = 0, rows = 0;
    Matrix<uint8_t> data;
    std::vector<Cell> cells;  // and one past the last
    std::vector<uint32_t> escapes;
    Matrix<uint8_t> states;  // [cells, 256] before the first row, if carried
  };
  void set_aside(const Window& window, size_t r, size_t c, size_t end, int32_t* code,
                 std::vector<uint32_t>* escapes) const;
  Panel pack_panel(size_t row, MatrixView<const int32_t> integers, uint32_t alphabet, Matrix<uint8_t>& states) const;

  Shape shape_;
  size_t tile_rows_ = 1, panels_per_tile_ = 1;
  std::vector<Panel> panels_;
  std::vector<uint8_t> next_;  // [16] if carried
};

}  // namespace occ
