// The stage `opq`: product quantization of rotated rows. opq.cc describes it; opq_fit.cc makes one for a matrix.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "quantization/product_codebook.h"
#include "quantization/quantizer.h"
#include "simd/product.h"

namespace occ {

// A rotation of every block of columns, x = y V^T. V is orthogonal except for its rounding to f16.
class BlockRotation {
 public:
  // bases [numbers(cols, block)]: V of each block as row-major f16. Blocks of one column are not rotated and have none.
  BlockRotation(size_t cols, size_t block, std::vector<uint16_t> bases);
  static size_t numbers(size_t cols, size_t block);

  size_t block() const { return block_; }
  std::span<const uint16_t> bases() const { return bases_; }
  // Map rows in place. from() computes x = y V^T; to() is its inverse up to float rounding.
  void to(MatrixView<float> x) const;
  void from(MatrixView<float> y) const;

 private:
  template <typename Body>
  void each_block(const Body& body) const;
  size_t cols_, block_;
  std::vector<uint16_t> bases_;
  std::vector<PackedMatrix<float>> encode_, decode_;  // by block V and V^T
};

// The parts of the quantizer, which the fit and load() put together.
struct OpqParts {
  std::unique_ptr<ProductCodebook> coarse;  // the centroids of the clusters; null if there is one cluster
  std::vector<BlockRotation> rotations;     // of each cluster
  std::vector<std::unique_ptr<ProductCodebook>> codebooks;  // of each cluster
};

struct OpqSizes {
  size_t clusters = 1;
  size_t block = 1;  // columns that are rotated together; 1: no rotation
  ProductSizes codebook;
};
// The sizes that the parameters give, or that the budget `bits` allows. Reports to the context if there is no room for
// a rotation.
OpqSizes choose_opq_sizes(const Params& params, Shape shape, const FitContext& context);
// Subtracts from each row of x [n, cols] the centroid of its cluster and rotates the rest, in place. clusters [n]: the
// cluster of each row.
void to_opq_coordinates(const OpqParts& parts, std::span<const Symbol> clusters, MatrixView<float> x);
// x limited to finite floats, since sums of large values may overflow; NaN becomes the smallest float.
inline float finite(float x) {
  constexpr float kMost = 0x1.fffffep127f;
  return !(x >= -kMost) ? -kMost : x > kMost ? kMost : x;
}
// The parameters of the codebook that holds the centroids of clusters.
Params coarse_params();

std::unique_ptr<Quantizer> make_opq(Shape shape, OpqParts parts);
QuantizerEntry opq_entry();

}  // namespace occ
