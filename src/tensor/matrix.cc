#include "occ/matrix.h"

#include <sys/mman.h>

#include <cstdlib>

namespace occ::internal {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

// Large matrices are written once from end to end: huge pages save most of the page faults of that.
void* allocate_matrix(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
  if (bytes > static_cast<size_t>(-1) - alignment) throw std::bad_alloc();
  void* data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (data == nullptr) throw std::bad_alloc();
  if (alignment == kHugePage) ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

void free_matrix(void* data) noexcept { std::free(data); }

}  // namespace occ::internal
