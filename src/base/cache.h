// Files that save time and nothing else, in $XDG_CACHE_HOME/occ or ~/.cache/occ. One that is missing, damaged or not
// writable only costs that time.
//
// Files that were not used for 90 days are removed, then those used longest ago, until the folder holds at most
// $OCC_CACHE_SIZE bytes ("500MB", default 5GB; "0": nothing is read or written).
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"

namespace occ {

// What write_cache() has written under this name, or nothing. Usage error unless OCC_CACHE_SIZE is a number of bytes.
std::optional<Bytes> read_cache(const std::string& name);
// Then makes room as said above. The same error.
void write_cache(const std::string& name, ByteSpan bytes);

}  // namespace occ
