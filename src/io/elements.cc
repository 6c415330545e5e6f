#include "io/elements.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"

namespace occ {

std::optional<uint64_t> tensor_bytes(const std::vector<uint64_t>& shape, DType dtype) {
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  constexpr uint64_t kEmptyLimit = uint64_t{1} << 32;
  if (shape.size() > 64) return std::nullopt;
  uint64_t bytes = dtype_size(dtype);
  bool empty = false;
  for (const uint64_t d : shape) {
    empty |= d == 0;
    if (d == 0) continue;
    if (bytes > (kLimit - 1) / d) return std::nullopt;
    bytes *= d;
  }
  if (!empty) return bytes;
  if (bytes / dtype_size(dtype) > kEmptyLimit) return std::nullopt;
  return 0;
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  const size_t shown = std::min<size_t>(shape.size(), 16);
  return fmt::format("[{}{}]", fmt::join(shape.begin(), shape.begin() + static_cast<ptrdiff_t>(shown), ", "),
                     shown < shape.size() ? ", ..." : "");
}

void check_range(const TensorInfo& tensor, uint64_t first, uint64_t count) {
  OCC_CHECK(first <= tensor.elements() && count <= tensor.elements() - first);
}

void read_elements_f32(const InputFile& file, uint64_t offset, DType dtype, uint64_t count, float* out) {
  if (dtype == DType::kF32) return file.read(offset, out, count * sizeof(float));
  alignas(64) uint8_t panel[kPanelBytes];
  const uint64_t size = dtype_size(dtype);
  for (uint64_t done = 0; done < count;) {
    const uint64_t n = std::min(count - done, kPanelBytes / size);
    file.read(offset + done * size, panel, n * size);
    convert_to_f32(dtype, panel, out + done, n);
    done += n;
  }
}

}  // namespace occ
