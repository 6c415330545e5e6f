// A coded tensor is one blob: varint number of planes, one varint byte count per plane, the planes one after the other,
// zeros up to a multiple of 64 bytes (docs/reference/format.md).
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "recipe/bound.h"

namespace occ {

Bytes pack_blob(const std::vector<CodedPlane>& planes);
// Views into `blob`. `what` names the source in errors.
std::vector<ByteSpan> unpack_blob(ByteSpan blob, const std::string& what);
// Bytes of a blob whose planes have these sizes.
uint64_t blob_bytes(const std::vector<uint64_t>& plane_sizes);

}  // namespace occ
