// A cache of files in $XDG_CACHE_HOME/occ or ~/.cache/occ. The files only save time: if one is missing, damaged or
// cannot be written, its contents are computed again.
//
// Files that were not used for 90 days are removed. Then the files that were used least recently are removed until the
// folder holds at most $OCC_CACHE_SIZE bytes ("500MB"; the default is 5GB). With "0" nothing is read or written.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"

namespace occ {

// Usage error unless OCC_CACHE_SIZE is unset or a number of bytes. For the start of a program, before it works for
// nothing.
void check_cache_size();
// The bytes that write_cache() wrote under this name, or nothing. Usage error unless OCC_CACHE_SIZE is unset or a
// number of bytes.
std::optional<Bytes> read_cache(const std::string& name);
// Writes the bytes under this name and then removes old files as described above. Usage error as in read_cache().
void write_cache(const std::string& name, ByteSpan bytes);

}  // namespace occ
