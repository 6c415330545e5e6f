// Keys and values of one sequence in the memory layout that attention.h reads.
//
// The keys of a layer and head are stored in blocks of 16 positions, as [position / 16][head_dim][position % 16]. A
// SIMD vector then holds one element of several neighbouring keys, and scores need no sums across lanes. Values are
// stored as [position][head_dim rounded up to 16], where the added elements are zero. Both are f32, or both are f16.
#pragma once

#include <cstdint>
#include <vector>

#include "model/kv_cache.h"

namespace occ {

inline constexpr size_t kKeyBlock = 16;

// Keys and values of one layer and head, as f32 or f16 (PlainKvCache::half).
struct CachedHead {
  const void* keys = nullptr;
  const void* values = nullptr;
};

class PlainKvCache final : public KvCache {
 public:
  // capacity in tokens; half: f16 instead of f32. Throws std::bad_alloc if there is not enough memory.
  PlainKvCache(size_t layers, size_t kv_heads, size_t head_dim, size_t capacity, bool half);

  size_t length() const override { return length_; }
  size_t capacity() const override { return capacity_; }
  void truncate(size_t length) override;
  void copy(const KvCache& from, size_t length) override;
  Matrix<float> keys(size_t layer) const override;
  Matrix<float> values(size_t layer) const override;

  bool half() const { return half_; }
  bool fits(size_t layers, size_t kv_heads, size_t head_dim) const {
    return layers == layers_ && kv_heads == kv_heads_ && head_dim == head_dim_;
  }
  // Stores the key and value [head_dim] of one head at a position below capacity(), without changing length(). May be
  // called from several threads for different positions.
  void put(size_t layer, size_t head, size_t position, const float* key, const float* value);
  void set_length(size_t length) { length_ = length; }
  CachedHead head(size_t layer, size_t head) const;

 private:
  size_t key_at(size_t layer, size_t head, size_t position) const {
    return ((layer * kv_heads_ + head) * blocks_ + position / kKeyBlock) * head_dim_ * kKeyBlock + position % kKeyBlock;
  }
  size_t value_at(size_t layer, size_t head, size_t position) const {
    return ((layer * kv_heads_ + head) * capacity_ + position) * value_dim_;
  }
  Matrix<float> gather(size_t layer, bool of_keys) const;

  size_t layers_, kv_heads_, head_dim_, value_dim_, capacity_, blocks_;
  bool half_;
  size_t length_ = 0;
  Matrix<float> keys_, values_;
  Matrix<uint16_t> half_keys_, half_values_;
};

}  // namespace occ
