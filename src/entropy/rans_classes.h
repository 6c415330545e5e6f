// Ids of lines and of positions along them by scale: table = line id + cross id. Used by the fit of `rans`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace occ {

// Fine classes of lines and positions.
struct RansAtoms {
  std::vector<uint8_t> lines, positions;
  size_t num_lines = 1, num_positions = 1;
};

// lines, positions: log2 of their scales. cell: counters of one pair of atoms.
RansAtoms make_rans_atoms(std::span<const float> lines, std::span<const float> positions, size_t cell);

// One way to give ids.
struct RansChoice {
  std::vector<uint8_t> line_ids, cross_ids;  // empty if there is one only
  size_t num_ids = 1, num_cross = 1;
  std::vector<uint64_t> counts;  // [num_ids + num_cross - 1][contexts][bins]
  double bits = 0;               // approximate, side information included
};

// Entropy of the cells, and what tables and ids take in the file.
double approximate_bits(const RansChoice& choice, size_t cell, size_t bins);

// Code lengths [cell][tables] from counts [tables][cell], smoothed so that no table forbids a bin.
std::vector<float> smoothed_costs(std::span<const uint64_t> counts, size_t cell, size_t bins);

// The choice of fewest approximate bits. pairs: counts [line atoms][position atoms][cell].
RansChoice choose_classes(const RansAtoms& atoms, std::span<const uint64_t> pairs, size_t cell, size_t bins,
                          size_t max_tables);

}  // namespace occ
