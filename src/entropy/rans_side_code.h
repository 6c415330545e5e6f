// The range-coded form of the side information of `rans`: table ids and frequencies (docs/reference/format.md, section
// 8). Frequencies are coded from the middle of a table outwards by their length in bits, with the length of the
// neighbour and of the same frequency in the table of the same context before it as context. Where the plane's values
// are as often negative as positive, tables are symmetric about a mirror, and one half of them says it all.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/range_coder.h"
#include "entropy/rans_model.h"
#include "entropy/rans_table.h"

namespace occ {

// Write and read ids below num_ids.
void put_ids(std::span<const uint8_t> ids, uint32_t num_ids, RangeEncoder& out);
std::vector<uint8_t> get_ids(size_t count, uint32_t num_ids, RangeDecoder& in);

// Writes all tables. For each context, mirrors has the sum of an id and of its mirror image plus 1, or 0 if the tables
// are not symmetric.
void put_tables(std::span<const RansTable> tables, std::span<const uint32_t> mirrors, uint32_t window,
                RangeEncoder& out);
// Reads the tables of `cells` cells. Input error unless each of them can code all tokens (RansTable::of).
std::vector<RansTable> get_tables(size_t cells, std::span<const uint32_t> mirrors, const RansSplit& split,
                                  RangeDecoder& in);

// find_mirrors returns the mirrors of a plane with these counts [cells]. add_mirror_images returns the counts plus
// those of the mirror images.
std::vector<uint32_t> find_mirrors(std::span<const RansCounts> cells, uint32_t contexts, uint32_t window);
std::vector<RansCounts> add_mirror_images(std::span<const RansCounts> cells, std::span<const uint32_t> mirrors,
                                          uint32_t window);

}  // namespace occ
