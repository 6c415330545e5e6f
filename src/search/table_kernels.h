// Kernels of the search in product codes: tables of the costs of all centroids, and sums of 4-bit codes by shuffles.
//
// A query has one table per subspace, T_s[j] = |q_s - c_sj|^2 or -<q_s, c_sj>, and the cost of a row with the codes
// j_0, j_1, ... is sum_s T_s[j_s]. With at most 16 centroids, tables are rounded down to bytes, T_s[j] >= low_s + step
// u_s[j], which a shuffle of 16 bytes looks up for 16 rows at once (Andre, Kermarrec, Le Scouarnec: Cache Locality is
// not Enough, 2015). What differs from their scan and that of faiss: sums of rounded tables are used as bounds only.
// Rows whose bound is not above the k-th smallest sum plus one per subspace are kept, and these few are summed in f32,
// so that the result is that of exact tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace occ {

constexpr size_t kTablePad = 16;   // rows of transposed centroids have a multiple of this number of centroids
constexpr size_t kBlockRows = 32;  // rows in a block of 4-bit codes
constexpr size_t kBlockPad = 4;    // the number of subspaces of blocks is a multiple of this
constexpr size_t kQueriesTogether = 4;

// out[j] = sum_i (q[i] - c[i * ld + j])^2 for j < ld, a multiple of kTablePad; with `product`, -sum_i q[i] c[i * ld + j].
void centroid_costs(const float* q, size_t width, const float* c, size_t ld, bool product, float* out);

// The rows that one query keeps in a scan of 4-bit codes.
class BoundedRows {
 public:
  // Keeps all rows whose sum may be among the k smallest: sums are rounded down by less than `slack` each. limit: rows
  // with a larger sum are left out from the start.
  BoundedRows(size_t k, uint32_t slack, uint32_t limit)
      : k_(k), slack_(slack), limit_(static_cast<uint16_t>(limit < 65535 ? limit : 65535)), most_(4 * k + 64) {}
  uint16_t limit() const { return limit_; }
  void add(uint16_t sum, uint32_t row) {
    rows_.emplace_back(sum, row);
    if (rows_.size() >= most_) shrink();
  }
  // The sums and rows that are left, in any order.
  const std::vector<std::pair<uint16_t, uint32_t>>& finish() {
    shrink();
    return rows_;
  }

 private:
  void shrink();
  size_t k_;
  uint32_t slack_;
  uint16_t limit_;
  size_t most_;
  std::vector<std::pair<uint16_t, uint32_t>> rows_;
};

// Sums tables of bytes for `rows` rows of 4-bit codes. codes: blocks of 32 rows, each with `subspaces` (a multiple of
// kBlockPad) times 16 bytes; byte i has row i in its lower and row i + 16 in its upper half. tables[q] has 16 bytes per
// subspace, and no sum of them exceeds 65,535. Rows get the numbers first_row, first_row + 1, ... At most
// kQueriesTogether queries.
void scan_nibbles(const uint8_t* codes, size_t subspaces, size_t rows, uint32_t first_row, const uint8_t* const* tables,
                  BoundedRows* const* found, size_t queries);

}  // namespace occ
