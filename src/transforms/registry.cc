#include <vector>

#include "base/check.h"
#include "transforms/transform.h"

namespace occ {

TransformEntry identity_entry();
TransformEntry signs_entry();
TransformEntry hadamard_entry();
TransformEntry dct_entry();
TransformEntry dst_entry();
TransformEntry pca_entry();
TransformEntry rowscale_entry();
TransformEntry rownorm_entry();
TransformEntry outliers_entry();
TransformEntry split_entry();
TransformEntry lowrank_entry();

namespace {

std::vector<TransformEntry>& entries() {
  static std::vector<TransformEntry> table = {
      identity_entry(), signs_entry(),   hadamard_entry(), dct_entry(),   dst_entry(),     pca_entry(),
      rowscale_entry(), rownorm_entry(), outliers_entry(), split_entry(), lowrank_entry(),
  };
  return table;
}

}  // namespace

std::span<const TransformEntry> transform_registry() { return entries(); }

const TransformEntry& register_transform(const TransformEntry& entry) {
  OCC_CHECK(find_transform(entry.name) == nullptr);
  return entries().emplace_back(entry);
}

const TransformEntry* find_transform(std::string_view name) {
  for (const TransformEntry& entry : transform_registry()) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace occ
