// Compresses side files and the text of the index with zstd.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace occ {

Bytes zstd_compressed(ByteSpan bytes);
// Returns the size before compression that the data states. If it states none or is not zstd data, the result is larger
// than any real size.
uint64_t zstd_stated_size(ByteSpan packed);
// Input error, which begins with `what`, if the data is not zstd data of exactly `size` bytes.
Bytes zstd_decompressed(ByteSpan packed, uint64_t size, const std::string& what);

}  // namespace occ
