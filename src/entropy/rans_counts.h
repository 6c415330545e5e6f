// Counting for the fit of `rans` tables: passes over the symbols of a plane, everything after them is histograms.
// Integer sums, or float sums over blocks that the shape alone determines: the same at any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "entropy/rans_table.h"
#include "occ/matrix.h"
#include "tensor/symbols.h"

namespace occ {

// Counts of all symbols [alphabet]. Checks that they are below it.
std::vector<uint64_t> count_symbols(MatrixView<const Symbol> symbols, uint32_t alphabet);

// The ids that occur, without gaps before and after: bin b is id first + b, the last bin is the escape.
struct RansBins {
  uint32_t first = 0;
  uint32_t count = 1;

  static RansBins of(std::span<const uint64_t> histogram, const RansSplit& split);
  uint32_t id(uint32_t bin) const { return bin + 1 == count ? kRansEscape : first + bin; }
};

// Counts every line by class of the position along it, context and bin.
class RansCounter {
 public:
  RansCounter(const SymbolPlane& plane, MatrixView<const Symbol> symbols, const RansSplit& split, const RansBins& bins);

  size_t contexts() const { return contexts_; }
  size_t cell_size() const { return contexts_ * bins_.count; }  // counts of all contexts
  // classes: one per position, all below `num_classes`; empty: all 0. body(first line, number of lines, counts [lines]
  // [num_classes][contexts][bins]) for blocks of lines, in parallel and any order.
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
  std::vector<uint64_t> next_;  // [states * classes]: first entry of the next state | its first bin << 32
  uint64_t start_ = 0;
  uint32_t class_mask_ = 0;
};

// log2 of the scales of rows and columns: deviation(r, c) ~ 2^(rows[r] + columns[c]).
struct RansScales {
  std::vector<float> rows;
  std::vector<float> columns;
};

// By alternating: the mean over a row of |symbol - center| / the column's scale, and the other way. `deviation`: the
// mean over all, > 0; single ones count as 32 times it at most. Absolute deviations, because one outlier among a
// thousand symbols would decide a mean of squares.
RansScales measure_scales(MatrixView<const Symbol> symbols, double center, double deviation);

}  // namespace occ
