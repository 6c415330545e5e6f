// Chooses the frequency tables of `rans` for planes whose statistics depend on the scales of rows and columns. Every
// line and every position along the lines gets an id, and a symbol is coded with table number line id + position id (in
// the file format: cross id). Encoder only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace occ {

// A fine classification of lines and of positions by their scale. Lines, or positions, of one atom get the same id.
struct RansAtoms {
  std::vector<uint8_t> lines, positions;  // the atom of each
  size_t num_lines = 1, num_positions = 1;
};

// lines, positions: log2 of their scales. cell: the number of counters for one pair of atoms, which limits how many
// atoms there may be.
RansAtoms make_rans_atoms(std::span<const float> lines, std::span<const float> positions, size_t cell);

// One choice of ids.
struct RansChoice {
  std::vector<uint8_t> line_ids, cross_ids;  // empty if all are 0
  size_t num_ids = 1, num_cross = 1;
  std::vector<uint64_t> counts;  // [num_ids + num_cross - 1][contexts][bins] of symbols by table
  double bits = 0;               // about what the plane takes, side information included
};

// The bits of a choice: the entropy of the symbols by table and context, and what tables and ids take in the file.
double approximate_bits(const RansChoice& choice, size_t cell, size_t bins);

// Code lengths in bits [cell][tables] for counts [tables][cell], smoothed so that every table can code every bin.
std::vector<float> smoothed_costs(std::span<const uint64_t> counts, size_t cell, size_t bins);

// The choice of fewest bits with at most `max_tables` tables. pairs: counts [line atoms][position atoms][cell]; cell
// and bins as above.
RansChoice choose_classes(const RansAtoms& atoms, std::span<const uint64_t> pairs, size_t cell, size_t bins,
                          size_t max_tables);

}  // namespace occ
