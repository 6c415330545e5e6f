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
  // bases [numbers(cols, block)] has V of each block as row-major f16. Blocks of a single column are not rotated and
  // have no V.
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
  std::vector<PackedMatrix<float>> encode_, decode_;  // for each block, V and V^T
};

// The parts of the quantizer. The fit or load() makes them.
struct OpqParts {
  // Centroids of the clusters; null if there is only one cluster.
  std::unique_ptr<ProductCodebook> coarse;
  std::vector<BlockRotation> rotations;                     // for each cluster
  std::vector<std::unique_ptr<ProductCodebook>> codebooks;  // for each cluster
};

struct OpqSizes {
  size_t clusters = 1;
  size_t block = 1;  // number of columns that are rotated together; 1: no rotation
  ProductSizes codebook;
};
// Returns the sizes given by the parameters, or those that fit the budget `bits`. Reports a fallback to the context if
// the budget allows no rotation.
OpqSizes choose_opq_sizes(const Params& params, Shape shape, const FitContext& context);
// Subtracts from each row of x [n, cols] the centroid of its cluster and rotates the result, in place. clusters [n] has
// the cluster of each row.
void to_opq_coordinates(const OpqParts& parts, std::span<const Symbol> clusters, MatrixView<float> x);
// Limits x to finite floats, because sums of large values may overflow. NaN becomes the most negative float.
inline float finite(float x) {
  constexpr float kMost = 0x1.fffffep127f;
  return !(x >= -kMost) ? -kMost : x > kMost ? kMost : x;
}
// Returns the parameters of the codebook that holds the centroids of the clusters.
Params coarse_params();

std::unique_ptr<Quantizer> make_opq(Shape shape, OpqParts parts);
QuantizerEntry opq_entry();

}  // namespace occ
