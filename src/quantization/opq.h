// The stage `opq`: see opq.cc; opq_fit.cc makes one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "quantization/product_codebook.h"
#include "quantization/quantizer.h"
#include "simd/product.h"

namespace occ {

// x = y V^T for blocks of columns, V orthogonal up to its rounding to f16.
class BlockRotation {
 public:
  // bases: by block, V row-major. Blocks of one column are left as they are and have none.
  BlockRotation(size_t cols, size_t block, std::vector<uint16_t> bases);
  static size_t numbers(size_t cols, size_t block);

  size_t block() const { return block_; }
  std::span<const uint16_t> bases() const { return bases_; }
  // In place; rows in, rows out. to: such that from(to(x)) == x within float rounding.
  void to(MatrixView<float> x) const;
  void from(MatrixView<float> y) const;

 private:
  template <typename Body>
  void each_block(const Body& body) const;
  size_t cols_, block_;
  std::vector<uint16_t> bases_;
  std::vector<PackedMatrix<float>> encode_, decode_;  // by block V and V^T
};

// The parts of one, so that a fit can put it together.
struct OpqParts {
  std::unique_ptr<ProductCodebook> coarse;  // centroids of clusters, one subspace; null: one cluster, no centroid
  std::vector<BlockRotation> rotations;     // by cluster
  std::vector<std::unique_ptr<ProductCodebook>> codebooks;
};

struct OpqSizes {
  size_t clusters = 1;
  size_t block = 1;  // of the rotation; 1: none
  ProductSizes codebook;
};
OpqSizes choose_opq_sizes(const Params& params, Shape shape, const FitContext& context);
// Rows with their cluster's centroid taken off and rotated; clusters: symbols of the rows.
void to_opq_coordinates(const OpqParts& parts, std::span<const Symbol> clusters, MatrixView<float> x);
// Sums of large values may leave f32: the nearest number of it. NaN becomes the least.
inline float finite(float x) {
  constexpr float kMost = 0x1.fffffep127f;
  return !(x >= -kMost) ? -kMost : x > kMost ? kMost : x;
}
// Of a codebook of cluster centroids.
Params coarse_params();

std::unique_ptr<Quantizer> make_opq(Shape shape, OpqParts parts);
QuantizerEntry opq_entry();

}  // namespace occ
