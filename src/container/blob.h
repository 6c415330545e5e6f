// A coded tensor is stored as one blob: the number of planes (varint), the byte count of every plane (varints), the
// planes one after the other, and zeros up to a multiple of 64 bytes (docs/reference/format.md).
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "recipe/bound.h"

namespace occ {

Bytes pack_blob(const std::vector<CodedPlane>& planes);
// Returns the planes as views into `blob`. Input error that names `what` (the source of the blob) if the blob is
// damaged.
std::vector<ByteSpan> unpack_blob(ByteSpan blob, const std::string& what);
// Returns the size in bytes of a blob whose planes have these sizes.
uint64_t blob_bytes(const std::vector<uint64_t>& plane_sizes);

}  // namespace occ
