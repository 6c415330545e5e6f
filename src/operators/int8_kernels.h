// SIMD kernels for matrix products with packed integers. The integers are stored in cells, rectangles of up to 64 rows
// by 256 columns, and a product takes two steps:
//
//   unpack  (int8_unpack.cc)   bit planes -> unsigned bytes k' [rows, 256], which stay in the first-level cache
//   dot     (int8_kernels.cc)  sum_c k'[r][c] x[c] with int8 activations, for a batch of them that shares the unpacking
//
// Columns are taken in groups of 32. Eight groups are packed together: those of one row, or those of 2 or 4 rows if a
// cell has 4 or 2 groups. The bits of a code are divided into planes of 8, 4, 2 and 1 bits (13 = 8 + 4 + 1), with the
// lowest bits in the widest plane. In the plane of w bits, byte i of the q-th 32 bytes holds column i of group
// q 8/w + t in its bits t w to t w + w - 1, for t < 8 / w. Unpacking then needs a shift and a mask per vector and no
// shuffles.
//
// Carried codes belong to a finite-state machine of up to 8 states that runs down the rows: k' = 2 code + u(state). A
// state is a byte with u in bit 0 and a number of two bits in bits 2 and 3. With the lowest bit of the code in bit 1 it
// is the index of the next state in a table of 16 bytes, so that one byte shuffle advances 16 or more columns.
//
// Dot products are exact. Products of pairs of bytes are added in int16 as often as the largest k' allows without
// overflow, then in int32. If k' exceeds 127, the products are computed in int16 and added in int32.
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
// The number of rows of a cell of 2, 4 or 8 groups that are packed together.
constexpr size_t rows_together(size_t groups) { return kPackedGroups / groups; }
// The bytes of eight packed groups.
constexpr size_t packed_bytes_of(unsigned bits) { return bits * kGroupColumns; }

struct PackedCell {
  const uint8_t* data = nullptr;
  size_t rows = 0;
  size_t groups = 0;              // 2, 4 or 8
  unsigned bits = 0;              // of a code: at most 8, or 7 if carried
  const uint8_t* next = nullptr;  // [16] the next states of a carried code; null for other codes
};
// Writes k' to out [rows, 256], of which the first 32 * groups columns are used. Rows that are packed together are all
// written, even beyond the last row of the cell. states [32 * groups], only for carried codes: on entry the states
// before the first row, on return those after the last row written. All buffers are aligned to 64 bytes.
void unpack_cell(const PackedCell& cell, uint8_t* states, uint8_t* out);

// Quantizes x [n] times factors [n] (null: ones) to int8 in blocks of 256 columns: x = scale * q with the scale max |x|
// / 127, or NaN if the block holds NaN or Inf. q [blocks * 256] is padded with zeros, scales [blocks], and sums [blocks
// * 8] are the sums of q over groups of 32 columns. A value of kOutlier times the rms of its block or more would leave
// few levels to the others, so it is appended to `outliers` in f32 instead; then the same is done with the rms of the
// rest, until there is no such value.
constexpr float kOutlier = 5;
struct Outlier {
  uint32_t col = 0;
  float value = 0;
};
void quantize_activations(const float* x, const float* factors, size_t n, int8_t* q, float* scales, int32_t* sums,
                          std::vector<Outlier>* outliers);

struct CellDots {
  const uint8_t* k = nullptr;  // k' as unpack_cell writes them, with room for a multiple of 4 rows
  size_t rows = 0;
  size_t groups = 0;
  unsigned most = 0;              // no k' is larger
  size_t batch = 0;               // number of inputs
  const int8_t* x = nullptr;      // the columns of the cell in the first input, aligned to 32 bytes
  size_t x_stride = 0;            // from one input to the next
  const float* scales = nullptr;  // the scale of the cell's block in the first input
  size_t scale_stride = 0;        // from one input to the next
  float* y = nullptr;             // [batch, 64]
};
// y[b][r] += scale[b] (sum_c k'[r][c] x[b][c] + base[r] sums[b]), with base [64], and in sums[b * sum_stride] the sum
// of x[b][c] over the cell.
void cell_dots(const CellDots& cell, const float* base, const float* sums, size_t sum_stride);
// y[b][r] += scale[b] sum_s factors[r * factor_stride + s] sum_{c in segment s} k'[r][c] x[b][c], where a segment has
// 1, 2, 4 or 8 groups.
void cell_dots_by_segment(const CellDots& cell, size_t segment_groups, const float* factors, size_t factor_stride);

}  // namespace occ
