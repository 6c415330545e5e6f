// Keys and values of the tokens that a transformer has seen, so that a new token costs one step.
#pragma once

#include <cstddef>

#include "occ/matrix.h"

namespace occ {

// Keys (after rotation) and values of one sequence. f16 with Arithmetic::kInt8, f32 with kF32.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual size_t length() const = 0;  // tokens in it
  virtual size_t capacity() const = 0;
  virtual void truncate(size_t length) = 0;  // forgets all tokens from there on
  // Keys or values of a layer as f32 [length, kv_heads * head_dim].
  virtual Matrix<float> keys(size_t layer) const = 0;
  virtual Matrix<float> values(size_t layer) const = 0;
};

}  // namespace occ
