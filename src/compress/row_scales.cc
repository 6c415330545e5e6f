#include "compress/row_scales.h"

#include "base/check.h"
#include "container/blob.h"
#include "transforms/transform.h"

namespace occ {
namespace {

const TransformEntry* first_transform(const Recipe& recipe) {
  return recipe.terms.size() == 1 ? find_transform(recipe.terms[0].stages[0].name) : nullptr;
}

}  // namespace

bool has_row_scales(const Recipe& recipe) {
  const TransformEntry* first = first_transform(recipe);
  return first != nullptr && first->roles.scale_rows != nullptr;
}

Bytes with_scaled_rows(const Recipe& recipe, ByteSpan blob, std::span<const float> factors, const std::string& what) {
  OCC_CHECK(has_row_scales(recipe));
  std::vector<CodedPlane> planes;
  for (const ByteSpan plane : unpack_blob(blob, what)) planes.push_back({"", Bytes(plane.begin(), plane.end())});
  if (planes.empty()) throw_input("{}: expected planes, found none", what);
  // The planes may grow up to the end of the padding of the blob.
  std::vector<uint64_t> sizes;
  for (const CodedPlane& p : planes) sizes.push_back(p.bytes.size());
  size_t most = sizes[0];
  for (++sizes[0]; blob_bytes(sizes) <= blob.size(); ++sizes[0]) most = sizes[0];
  planes[0].bytes =
      first_transform(recipe)->roles.scale_rows(recipe.terms[0].stages[0].params, planes[0].bytes, factors, most, what);
  return pack_blob(planes);
}

}  // namespace occ
