// A matrix of small integers in RAM, packed so that products can unpack it as fast as memory delivers it.
// strip.h describes the strips, docs/explanation/models.md the whole.
//
//   integer(r, c) = k'(r, c) + base(strip) + sum of the deltas of its escapes, if there are any
//
// The rows are divided into panels of up to 64 rows, and a new panel begins where a state machine restarts. A panel is
// divided into strips of 512 columns; the columns that are left over form strips of 256, 128 and 64. Every strip has the
// number of bits that takes the least memory and time. Integers outside its range are listed as escapes of 32 bits each.
// A panel stores the states of its first row, so that it can be read without the rows above it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "entropy/coder.h"
#include "occ/matrix.h"
#include "operators/strip.h"
#include "quantization/quantizer.h"

namespace occ {

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

  // Whether products can carry the states of this machine: those of trellis_code.h.
  static bool can_carry(const FiniteState* machine);

  // Sorted by column. A large delta is divided among several escapes of the same place.
  struct Escape {
    size_t row, col;  // in the panel, in the strip
    int32_t delta;
  };
  static Escape unpack_escape(uint32_t e) { return {e >> 17 & 63, e >> 23, static_cast<int32_t>(e << 15) >> 15}; }

  // The range of codes that are not escapes: from low to low + 2^bits - 1.
  struct Window {
    int32_t low = 0;
    unsigned bits = 0;
  };

  Shape shape() const { return shape_; }
  size_t panels() const { return panels_.size(); }
  size_t strips() const { return places_.size(); }
  size_t first_column(size_t strip) const { return places_[strip].col; }  // a multiple of 64
  size_t columns(size_t strip) const { return places_[strip].cols; }      // at most its width
  size_t width(size_t strip) const { return kStripColumns / places_[strip].chains; }
  size_t strip_of(size_t col) const;  // which has this column
  size_t padded_columns() const { return places_.empty() ? 0 : first_column(strips() - 1) + width(strips() - 1); }
  size_t first_row(size_t panel) const { return panels_[panel].row; }
  size_t panel_rows(size_t panel) const { return panels_[panel].rows; }
  size_t panel_of(size_t row) const { return row / tile_rows_ * panels_per_tile_ + row % tile_rows_ / kPanelRows; }
  Strip strip(size_t panel, size_t strip) const;
  // Unpacks k' of one row and returns them; they lie in `buffer` [512], aligned to 64 bytes.
  const uint8_t* unpack_row(size_t panel, size_t strip, size_t row, uint8_t* buffer) const;
  // Whether the codes are those of a state machine.
  bool carried() const { return state_planes_ != 0; }
  int32_t base(size_t panel, size_t strip) const { return panels_[panel].strips[strip].base; }
  std::span<const uint32_t> escapes(size_t panel, size_t strip) const;

  uint64_t resident_bytes() const;
  double mean_bits() const;  // mean number of bits of a code

 private:
  struct Place {
    size_t col, cols;
    unsigned chains;
  };
  struct StripHead {
    uint32_t offset = 0;  // from the panel's first byte
    uint32_t first_escape = 0;
    int32_t base = 0;
    uint32_t bits = 0;
  };
  struct Panel {
    size_t row = 0, rows = 0;
    size_t offset = 0;              // in data_
    Matrix<uint8_t> data;           // until all are joined
    std::vector<StripHead> strips;  // and one past the last
    std::vector<uint32_t> escapes;
  };
  struct Packer;
  void join_panels();

  Shape shape_;
  std::vector<Place> places_;  // of strips
  size_t tile_rows_ = 1, panels_per_tile_ = 1;
  std::vector<Panel> panels_;
  Matrix<uint8_t> data_;       // the strips of all panels, so that what is read ahead is never another matrix
  unsigned state_planes_ = 0;  // 0: not carried
};

}  // namespace occ
