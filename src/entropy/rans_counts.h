// Counts for the fit of `rans` tables. Only the functions here pass over the symbols of a plane; all later steps work
// on histograms. Sums are integers, or floats over blocks that depend on the shape only, so that they are the same for
// any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "entropy/rans_table.h"
#include "occ/matrix.h"
#include "tensor/symbols.h"

namespace occ {

// Returns how often each symbol occurs, [alphabet]. A symbol that is not below the alphabet is a bug (OCC_CHECK).
std::vector<uint64_t> count_symbols(MatrixView<const Symbol> symbols, uint32_t alphabet);

// The range of ids (rans_table.h) that occur: bin b is id first + b, and the last bin is the escape.
struct RansBins {
  uint32_t first = 0;
  uint32_t count = 1;

  static RansBins of(std::span<const uint64_t> histogram, const RansSplit& split);
  uint32_t id(uint32_t bin) const { return bin + 1 == count ? kRansEscape : first + bin; }
};

// Counts the symbols of every line by the class of their position, by context and by bin.
class RansCounter {
 public:
  RansCounter(const SymbolPlane& plane, MatrixView<const Symbol> symbols, const RansSplit& split, const RansBins& bins);

  size_t contexts() const { return contexts_; }
  size_t cell_size() const { return contexts_ * bins_.count; }  // number of counters for all contexts
  // Calls body(first line, number of lines, counts [lines][num_classes][contexts][bins]) for blocks of lines, on all
  // threads and in any order. `classes` has a class below `num_classes` for each position; empty: all are 0.
  void for_each_block(std::span<const uint8_t> classes, size_t num_classes,
                      const std::function<void(size_t, size_t, const uint32_t*)>& body) const;

 private:
  template <bool kMachine>
  void count_block(size_t first, size_t lines, const uint8_t* classes, size_t num_classes, uint32_t* counts) const;
  template <bool kMachine>
  void count_part(const Symbol* at, size_t stride, size_t positions, size_t lines, const uint8_t* classes,
                  size_t num_classes, uint64_t* states, uint32_t* counts) const;

  const SymbolPlane& plane_;
  MatrixView<const Symbol> symbols_;
  RansSplit split_;
  RansBins bins_;
  size_t contexts_ = 1;
  std::vector<uint64_t> next_;  // [states * classes] index of the next state's first entry | its first bin << 32
  uint64_t start_ = 0;
  uint32_t class_mask_ = 0;
};

// log2 of the scales of rows and columns: symbol (r, c) deviates from the center by about 2^(rows[r] + columns[c]).
struct RansScales {
  std::vector<float> rows;
  std::vector<float> columns;
};

// Measures the scales: those of rows as the mean of |symbol - center| / (scale of the column), then those of columns in
// the same way, and then both again. `deviation` > 0 is the mean of |symbol - center| over the plane; each deviation
// counts as at most 32 times that. Absolute values are used, because a single outlier among a thousand symbols would
// dominate a mean of squares.
RansScales measure_scales(MatrixView<const Symbol> symbols, double center, double deviation);

}  // namespace occ
