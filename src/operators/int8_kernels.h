// The two loops that products with integers are made of. A cell is a rectangle of up to 64 rows by 256 columns:
//
//   unpack   bit planes -> unsigned bytes k' [rows, 256], which stay in the first-level cache
//   dot      sum_c k'[r][c] x[c] with int8 activations, for a batch of them, so that unpacking is shared
//
// Columns come in groups of 32. Eight groups are packed together: those of a row, or of 2 or 4 rows where a cell has 4
// or 2 groups. The `bits` of a code are cut into planes of 8, 4, 2 and 1 bits (13 = 8 + 4 + 1), lowest bits in the
// widest plane, 32 bytes at a time: in the plane of w bits, byte i of the q-th 32 bytes holds column i of group
// q 8/w + t at bits t w, for t < 8 / w. Unpacking is a shift and a mask per vector, without shuffles.
//
// Carried codes are those of a finite-state machine of up to 8 states that runs down the rows: k' = 2 code + u(state).
// A state is a byte with u in bit 0 and a number of two bits in bits 2 and 3, so that with the lowest bit of the code
// in bit 1 it is the index of the next state in a table of 16 bytes: one byte shuffle for 16 or more columns.
//
// Sums of dot are exact: products of pairs of bytes are added in int16 as often as 32,767 allows for the largest k',
// then in int32; k' above 127 are widened first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace occ {

constexpr size_t kCellRows = 64;
constexpr size_t kCellColumns = 256;
constexpr size_t kGroupColumns = 32;
constexpr unsigned kMostBits = 8;  // of k'

constexpr size_t kPackedGroups = 8;
// Rows of a cell of 2, 4 or 8 groups that are packed together.
constexpr size_t rows_together(size_t groups) { return kPackedGroups / groups; }
// Bytes of eight groups.
constexpr size_t packed_bytes_of(unsigned bits) { return bits * kGroupColumns; }

struct PackedCell {
  const uint8_t* data = nullptr;
  size_t rows = 0;
  size_t groups = 0;              // 2, 4 or 8
  unsigned bits = 0;              // of a code: up to 8, or 7 if carried
  const uint8_t* next = nullptr;  // [16] table of a carried code, or null
};
// out: k' with 256 bytes per row, of which 32 groups are written; rows that are packed together are all written.
// states [32 groups]: before the first row, and then those after the last written; only for carried codes. Buffers are
// aligned to 64 bytes.
void unpack_cell(const PackedCell& cell, uint8_t* states, uint8_t* out);

// x [n] times factors [n] (or null: ones) as int8 in blocks of 256 columns: x = scale * q with scale = max |x| / 127,
// or NaN where a block holds NaN or Inf. q [blocks * 256] padded with zeros; sums: of every group of 32 columns of q.
// What is kOutlier times the rms of its block or more would leave few levels to all others: it is listed by block,
// exact, and not in q; then the same with the rms of the rest, and so on.
constexpr float kOutlier = 5;
struct Outlier {
  uint32_t col = 0;
  float value = 0;
};
void quantize_activations(const float* x, const float* factors, size_t n, int8_t* q, float* scales, int32_t* sums,
                          std::vector<Outlier>* outliers);

struct CellDots {
  const uint8_t* k = nullptr;  // k' as unpack_cell gives them, room for a multiple of 4 rows
  size_t rows = 0;
  size_t groups = 0;
  unsigned most = 0;  // no k' is larger
  size_t batch = 0;
  const int8_t* x = nullptr;  // the cell's columns of the first input; 32 bytes aligned
  size_t x_stride = 0;
  const float* scales = nullptr;  // the block's scale of the first input
  size_t scale_stride = 0;
  float* y = nullptr;  // [batch, 64]
};
// y[b][r] += scale[b] (sum_c k'[r][c] x[b][c] + base[r] sums[b]), base [64] and sums (of q over the cell) of every
// input.
void cell_dots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride);
// y[b][r] += scale[b] sum_s factors[r factor_stride + s] sum_{c in segment s} k'[r][c] x[b][c]; a segment is 1, 2, 4 or
// 8 groups.
void cell_dots_by_segment(const CellDots& cell, size_t segment_groups, const float* factors, size_t factor_stride);

}  // namespace occ
