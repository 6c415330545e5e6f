#include "compress/row_scales.h"

#include "container/blob.h"
#include "tensor/bf16_scales.h"
#include "transforms/transform.h"

namespace occ {

bool has_row_scales(const Recipe& recipe) {
  if (recipe.terms.size() != 1) return false;
  const TransformEntry* first = find_transform(recipe.terms[0].stages[0].name);
  return first != nullptr && first->roles.stores_row_scales;
}

Bytes with_scaled_rows(ByteSpan blob, std::span<const float> factors, const std::string& what) {
  std::vector<CodedPlane> planes;
  for (const ByteSpan plane : unpack_blob(blob, what)) planes.push_back({"", Bytes(plane.begin(), plane.end())});
  ByteReader side(planes.at(0).bytes, what);
  std::vector<float> scales = get_scales(factors.size(), side);
  side.expect_done();
  for (size_t r = 0; r < scales.size(); ++r) scales[r] = stored_scale(scales[r] * factors[r], kMaxScaleCode);
  ByteWriter out;
  put_scales(scales, out);
  planes[0].bytes = out.take();
  return pack_blob(planes);
}

}  // namespace occ
