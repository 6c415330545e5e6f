// The bound PCA transform; pca.cc explains it, pca_fit.cc makes one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/params.h"
#include "transforms/transform.h"

namespace occ {

std::span<const ParamSpec> pca_params();

// Lengths of the blocks that `cols` columns are cut into.
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

// bases: f16, for every block its matrix V [length, length] row-major, component k in column k.
std::unique_ptr<Transform> make_pca(const PcaBlocks& blocks, std::span<const uint16_t> bases);

}  // namespace occ
