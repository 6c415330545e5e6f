// Chooses the frequency tables of `rans` for planes whose statistics depend on the scales of rows and columns. Every
// line and every position along the lines gets an id, and a symbol is coded with table number line id + position id (in
// the file format: cross id). Encoder only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace occ {

// Sorts lines and positions by their scale into small classes, the atoms. All lines (or positions) of an atom get the
// same id.
struct RansAtoms {
  std::vector<uint8_t> lines, positions;  // atom of each line and of each position
  size_t num_lines = 1, num_positions = 1;
};

// `lines` and `positions` have log2 of their scales. `cell` is the number of counters for one pair of atoms; it limits
// the number of atoms.
RansAtoms make_rans_atoms(std::span<const float> lines, std::span<const float> positions, size_t cell);

// A choice of ids.
struct RansChoice {
  std::vector<uint8_t> line_ids, cross_ids;  // empty if all are 0
  size_t num_ids = 1, num_cross = 1;
  // [num_ids + num_cross - 1][contexts][bins] number of symbols for each table.
  std::vector<uint64_t> counts;
  double bits = 0;  // estimate of the bits of the plane with all side information
};

// Returns the bits of a choice: the entropy of the symbols given table and context, plus the bits of tables and ids.
double approximate_bits(const RansChoice& choice, size_t cell, size_t bins);

// Returns code lengths in bits [cell][tables] for counts [tables][cell]. Counts are smoothed such that every table can
// code every bin.
std::vector<float> smoothed_costs(std::span<const uint64_t> counts, size_t cell, size_t bins);

// Returns the choice with the fewest bits and at most `max_tables` tables. pairs [line atoms][position atoms][cell] are
// counts; cell and bins are as above.
RansChoice choose_classes(const RansAtoms& atoms, std::span<const uint64_t> pairs, size_t cell, size_t bins,
                          size_t max_tables);

}  // namespace occ
