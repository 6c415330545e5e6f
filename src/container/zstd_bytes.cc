#include "container/zstd_bytes.h"

#include <zstd.h>

#include "base/check.h"
#include "base/error.h"

namespace occ {

Bytes zstd_compressed(ByteSpan bytes) {
  constexpr int kLevel = 19;
  Bytes packed(ZSTD_compressBound(bytes.size()));
  const size_t n = ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), kLevel);
  OCC_CHECK(!ZSTD_isError(n));
  packed.resize(n);
  return packed;
}

uint64_t zstd_stated_size(ByteSpan packed) { return ZSTD_getFrameContentSize(packed.data(), packed.size()); }

Bytes zstd_decompressed(ByteSpan packed, uint64_t size, const std::string& what) {
  if (zstd_stated_size(packed) != size) throw_input("{}: expected zstd data of {} bytes", what, size);
  Bytes out(size);
  const size_t n = ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  if (ZSTD_isError(n) || n != size) throw_input("{}: expected zstd data of {} bytes", what, size);
  return out;
}

}  // namespace occ
