// xxh64, the one checksum of the project.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace occ {

inline uint64_t hash64(const void* data, size_t size) { return XXH64(data, size, 0); }
inline uint64_t hash64(ByteSpan bytes) { return hash64(bytes.data(), bytes.size()); }
inline uint64_t hash64(std::string_view text) { return hash64(text.data(), text.size()); }

// hash64 of bytes that come in pieces.
class Hash64 {
 public:
  Hash64() : state_(XXH64_createState(), XXH64_freeState) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH64_reset(state_.get(), 0);
  }
  void add(ByteSpan bytes) { XXH64_update(state_.get(), bytes.data(), bytes.size()); }
  uint64_t value() const { return XXH64_digest(state_.get()); }

 private:
  std::unique_ptr<XXH64_state_t, XXH_errorcode (*)(XXH64_state_t*)> state_;
};

// 16 lower-case hexadecimal digits.
inline std::string hash_hex(uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace occ
