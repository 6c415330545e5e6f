// The KV cache: keys and values of the tokens that a transformer has seen, so that only new tokens must be computed.
#pragma once

#include <cstddef>

#include "occ/matrix.h"

namespace occ {

// Keys (after the rotation) and values of one sequence in all layers. They are stored as f16 with Arithmetic::kInt8 and
// as f32 with Arithmetic::kF32.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual size_t length() const = 0;         // number of tokens in it
  virtual size_t capacity() const = 0;       // largest length
  virtual void truncate(size_t length) = 0;  // keeps the first `length` tokens
  // Makes this a copy of the first `length` tokens of `from`, which must be another cache of the same model and hold so
  // many; they must fit.
  virtual void copy(const KvCache& from, size_t length) = 0;
  // Copies of the keys or values of a layer as f32 [length, kv_heads * head_dim].
  virtual Matrix<float> keys(size_t layer) const = 0;
  virtual Matrix<float> values(size_t layer) const = 0;
};

}  // namespace occ
