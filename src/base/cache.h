// Files that save time and nothing else, in $XDG_CACHE_HOME/occ or ~/.cache/occ. One that is missing, damaged or not
// writable only costs that time.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"

namespace occ {

// What write_cache() has written under this name, or nothing.
std::optional<Bytes> read_cache(const std::string& name);
void write_cache(const std::string& name, ByteSpan bytes);

}  // namespace occ
