// Bytes compressed with zstd: side files and the text of the index.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace occ {

Bytes zstd_compressed(ByteSpan bytes);
// The size before compression that the data states; larger than any real size if it states none or is no zstd data.
uint64_t zstd_stated_size(ByteSpan packed);
// Input error, which begins with `what`, if the data is not zstd data of exactly `size` bytes.
Bytes zstd_decompressed(ByteSpan packed, uint64_t size, const std::string& what);

}  // namespace occ
