#include "model/plain_kv_cache.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "simd/convert.h"
#include "tensor/dtype.h"

namespace occ {

PlainKvCache::PlainKvCache(size_t layers, size_t kv_heads, size_t head_dim, size_t capacity, bool half)
    : layers_(layers),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      value_dim_(ceil_div(head_dim, kKeyBlock) * kKeyBlock),
      capacity_(capacity),
      blocks_(ceil_div(capacity, kKeyBlock)),
      half_(half) {
  // Not touched before they are written: what is not used costs no memory.
  const size_t heads = layers * kv_heads;
  if (capacity > (size_t{1} << 40) / head_dim) throw std::bad_alloc();
  if (half) {
    half_keys_ = Matrix<uint16_t>::uninitialized(heads, blocks_ * head_dim * kKeyBlock);
    half_values_ = Matrix<uint16_t>::uninitialized(heads, capacity * value_dim_);
  } else {
    keys_ = Matrix<float>::uninitialized(heads, blocks_ * head_dim * kKeyBlock);
    values_ = Matrix<float>::uninitialized(heads, capacity * value_dim_);
  }
}

void PlainKvCache::truncate(size_t length) { length_ = std::min(length_, length); }

void PlainKvCache::copy(const KvCache& from, size_t length) {
  const auto* other = dynamic_cast<const PlainKvCache*>(&from);
  OCC_CHECK(other != nullptr && other != this && other->fits(layers_, kv_heads_, head_dim_) && other->half_ == half_);
  OCC_CHECK(length <= other->length_ && length <= capacity_);
  const size_t keys = ceil_div(length, kKeyBlock) * kKeyBlock * head_dim_, values = length * value_dim_;
  parallel_for(layers_ * kv_heads_, [&](size_t h) {
    if (half_) {
      std::copy_n(other->half_keys_.row(h), keys, half_keys_.row(h));
      std::copy_n(other->half_values_.row(h), values, half_values_.row(h));
    } else {
      std::copy_n(other->keys_.row(h), keys, keys_.row(h));
      std::copy_n(other->values_.row(h), values, values_.row(h));
    }
  });
  length_ = length;
}

void PlainKvCache::put(size_t layer, size_t head, size_t position, const float* key, const float* value) {
  const size_t k = key_at(layer, head, position), v = value_at(layer, head, position);
  if (half_) {
    uint16_t* out = half_values_.data() + v;
    std::fill_n(out + head_dim_, value_dim_ - head_dim_, uint16_t{0});
    // Through the place of the values, which is contiguous.
    f32_to_f16_bulk(key, out, head_dim_);
    for (size_t d = 0; d < head_dim_; ++d) half_keys_.data()[k + d * kKeyBlock] = out[d];
    f32_to_f16_bulk(value, out, head_dim_);
  } else {
    float* out = values_.data() + v;
    std::fill_n(out + head_dim_, value_dim_ - head_dim_, 0.0f);
    std::copy_n(value, head_dim_, out);
    for (size_t d = 0; d < head_dim_; ++d) keys_.data()[k + d * kKeyBlock] = key[d];
  }
}

CachedHead PlainKvCache::head(size_t layer, size_t head) const {
  const size_t k = key_at(layer, head, 0), v = value_at(layer, head, 0);
  if (half_) return {half_keys_.data() + k, half_values_.data() + v};
  return {keys_.data() + k, values_.data() + v};
}

Matrix<float> PlainKvCache::gather(size_t layer, bool of_keys) const {
  OCC_CHECK(layer < layers_);
  Matrix<float> out = Matrix<float>::uninitialized(length_, kv_heads_ * head_dim_);
  const Matrix<float>& full = of_keys ? keys_ : values_;
  const Matrix<uint16_t>& half = of_keys ? half_keys_ : half_values_;
  for (size_t p = 0; p < length_; ++p) {
    for (size_t h = 0; h < kv_heads_; ++h) {
      const size_t at = of_keys ? key_at(layer, h, p) : value_at(layer, h, p);
      for (size_t d = 0; d < head_dim_; ++d) {
        const size_t i = at + d * (of_keys ? kKeyBlock : 1);
        out(p, h * head_dim_ + d) = half_ ? f16_to_f32(half.data()[i]) : full.data()[i];
      }
    }
  }
  return out;
}

Matrix<float> PlainKvCache::keys(size_t layer) const { return gather(layer, true); }
Matrix<float> PlainKvCache::values(size_t layer) const { return gather(layer, false); }

}  // namespace occ
