// xxh64 (with seed 0), the only checksum of the project.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace occ {

inline uint64_t hash64(const void* data, size_t size) { return XXH64(data, size, 0); }
inline uint64_t hash64(ByteSpan bytes) { return hash64(bytes.data(), bytes.size()); }
inline uint64_t hash64(std::string_view text) { return hash64(text.data(), text.size()); }

// The hash as 16 lower-case hexadecimal digits.
inline std::string hash_hex(uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace occ
