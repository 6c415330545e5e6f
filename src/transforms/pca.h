// The bound PCA transform as the decoder needs it. pca.cc describes it; pca_fit.cc makes one for a matrix.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/params.h"
#include "transforms/transform.h"

namespace occ {

// The blocks of columns that have a basis each: all of the length given by the parameter `block`, except for the last
// one, which may be shorter. block = 0: one block of all columns.
class PcaBlocks {
 public:
  PcaBlocks(const Params& params, size_t cols);
  size_t count() const { return block_ == 0 ? 0 : (cols_ + block_ - 1) / block_; }
  size_t offset(size_t i) const { return i * block_; }
  size_t length(size_t i) const { return cols_ - offset(i) < block_ ? cols_ - offset(i) : block_; }
  size_t cols() const { return cols_; }

 private:
  size_t cols_;
  size_t block_;
};

// `bases` has for every block its orthonormal matrix V [length, length] as row-major f16. Component k is column k.
std::unique_ptr<Transform> make_pca(const PcaBlocks& blocks, std::span<const uint16_t> bases);

}  // namespace occ
