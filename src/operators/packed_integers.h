// A matrix of small integers in RAM, packed so that products can unpack it as fast as memory delivers it.
// int8_kernels.h describes the cells, docs/explanation/models.md the whole.
//
//   integer(r, c) = k'(r, c) + base(cell) + delta of an escape, if there is one
//
// The rows are divided into panels of up to 64 rows, and a new panel begins where a state machine restarts. A panel is
// divided into cells of 256 columns; the columns that are left over form cells of 256, 128 or 64. Every cell has the
// number of bits that takes the least memory. Integers outside its range are listed as escapes of 32 bits each. A panel
// stores the states of its first row, so that it can be read without the rows above it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "entropy/coder.h"
#include "occ/matrix.h"
#include "operators/int8_kernels.h"
#include "quantization/quantizer.h"

namespace occ {

// Packs the codes [256] of eight groups, each < 2^bits, into packed_bytes_of(bits) bytes.
void pack_codes(const uint8_t* codes, unsigned bits, uint8_t* out);

class PackedIntegers {
 public:
  // Where the integers come from: symbols or, without a machine, the integers themselves.
  struct Source {
    Shape shape;
    size_t tile_rows = 1;                  // rows are read in tiles that begin at multiples of it
    uint32_t alphabet = 0;                 // as in IntegerView
    const FiniteState* machine = nullptr;  // as in IntegerView; restarts at every tile; can_carry() must hold
    int32_t bias = 0;                      // as in IntegerView
    // Calls body(row, symbols) for 64 of the rows `rows` at a time; `row` counts from the first row of the matrix.
    std::function<void(const Rect& rows, const SymbolsBody& body)> read_symbols;
    // Fills out with the integers of `rows`.
    std::function<void(const Rect& rows, MatrixView<int32_t> out)> read;
  };
  // Packs a matrix. Null if too many of its integers do not fit into 8 bits.
  static std::unique_ptr<PackedIntegers> pack(const Source& source);

  // Whether products can carry the states of this machine: it has few states, and their context is part of the
  // integers.
  static bool can_carry(const FiniteState* machine);

  struct Escape {
    size_t row, col;  // in the cell
    int32_t delta;
  };
  static Escape unpack_escape(uint32_t e) { return {e >> 26, e >> 18 & 255, static_cast<int32_t>(e << 14) >> 14}; }

  // The range of codes that are not escapes: from low to low + 2^bits - 1.
  struct Window {
    int32_t low = 0;
    unsigned bits = 0;
  };

  Shape shape() const { return shape_; }
  size_t panels() const { return panels_.size(); }
  size_t cells() const { return places_.size(); }
  size_t first_column(size_t cell) const { return places_[cell].col; }  // a multiple of 64
  size_t columns(size_t cell) const { return places_[cell].cols; }
  size_t groups(size_t cell) const { return places_[cell].groups; }
  size_t first_row(size_t panel) const { return panels_[panel].row; }
  size_t panel_rows(size_t panel) const { return panels_[panel].rows; }
  size_t panel_of(size_t row) const { return row / tile_rows_ * panels_per_tile_ + row % tile_rows_ / kCellRows; }
  // Unpacks k' of the first `rows` rows of a cell as unpack_cell does; out [64, 256].
  void unpack(size_t panel, size_t cell, size_t rows, uint8_t* out) const;
  // Unpacks k' of one row and returns them; they lie in `buffer` [64, 256].
  const uint8_t* unpack_row(size_t panel, size_t cell, size_t row, uint8_t* buffer) const;
  // Whether the codes are those of a state machine.
  bool carried() const { return !next_.empty(); }
  int32_t base(size_t panel, size_t cell) const { return panels_[panel].cells[cell].base; }
  unsigned most(size_t panel, size_t cell) const;  // no k' is larger
  std::span<const uint32_t> escapes(size_t panel, size_t cell) const;

  uint64_t resident_bytes() const;
  double mean_bits() const;  // mean number of bits of a code

 private:
  struct Place {
    size_t col, cols, groups;
  };
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
    Matrix<uint8_t> states;  // [1, 32 groups of all cells] before the first row, if carried
  };
  struct Packer;
  Packer packer() const;

  Shape shape_;
  std::vector<Place> places_;  // of cells
  size_t tile_rows_ = 1, panels_per_tile_ = 1;
  std::vector<Panel> panels_;
  std::vector<uint8_t> next_;  // [16] if carried
};

}  // namespace occ
