#include "io/copy_tensor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/option_name.h"
#include "base/parallel.h"
#include "tensor/panels.h"

namespace occ {
namespace {

// The least magnitude that becomes infinite as `dtype`: it lies halfway between the largest number and the next power of
// two.
float least_infinite(DType dtype) {
  if (dtype == DType::kF16) return 65520.0f;
  return dtype == DType::kBF16 ? 0x1.ffp127f : std::numeric_limits<float>::infinity();
}

// A finite value that a type does not hold.
struct TooLarge {
  uint64_t element = 0;
  double value = 0;
};

// The first one among `values`, which are those of tensor i from element `first` on.
std::optional<TooLarge> find_too_large(const TensorFile& file, size_t i, DType dtype, uint64_t first,
                                       const std::vector<float>& values) {
  const float limit = least_infinite(dtype);
  const bool wider = file.tensors()[i].dtype == DType::kF64;
  for (size_t k = 0; k < values.size(); ++k) {
    if (std::abs(values[k]) < limit) continue;
    auto value = static_cast<double>(values[k]);
    if (wider && std::isinf(value)) file.read_raw(i, first + k, 1, &value);
    if (std::isfinite(value)) return TooLarge{first + k, value};
  }
  return std::nullopt;
}

void require_in_range(const TensorFile& file, size_t i, DType dtype, uint64_t first, const std::vector<float>& values) {
  const std::optional<TooLarge> found = find_too_large(file, i, dtype, first, values);
  if (!found) return;
  const bool f32_holds_it = std::isfinite(static_cast<float>(found->value));
  throw_input("{}: tensor '{}': expected values within the range of {}, found {} at element {}{}", file.path(),
              file.tensors()[i].name, dtype_name(dtype), found->value, found->element,
              f32_holds_it ? " (" + option_name("dtype") + " f32 holds it)" : "");
}

}  // namespace

void copy_tensor(const TensorFile& file, size_t i, DType dtype, TensorSink& sink,
                 const std::function<void(uint64_t)>& progress) {
  const TensorInfo& info = file.tensors()[i];
  const uint64_t elements = info.elements();
  if (elements == 0) return;
  const Shape shape = matrix_shape(info.shape);
  const uint64_t panel = panel_rows(file, i) * shape.cols;
  const size_t at_once = 4 * max_threads();
  std::vector<Bytes> panels(at_once);
  for (uint64_t start = 0; start < elements; start += panel * at_once) {
    const size_t count = std::min<uint64_t>(at_once, ceil_div(elements - start, panel));
    parallel_for(count, [&](size_t p) {
      const uint64_t first = start + p * panel;
      const uint64_t n = std::min(panel, elements - first);
      panels[p].resize(n * dtype_size(dtype));
      if (dtype == info.dtype) return file.read_raw(i, first, n, panels[p].data());
      std::vector<float> values(n);
      file.read_f32(i, first, n, values.data());
      convert_from_f32(dtype, values.data(), panels[p].data(), n);
      require_in_range(file, i, dtype, first, values);
    });
    for (size_t p = 0; p < count; ++p) {
      sink.write(panels[p].data(), panels[p].size());
      if (progress) progress(panels[p].size());
    }
  }
}

bool fits(const TensorFile& file, size_t i, DType dtype) {
  const uint64_t elements = file.tensors()[i].elements();
  const uint64_t panel = panel_rows(file, i) * matrix_shape(file.tensors()[i].shape).cols;
  std::vector<float> values;
  for (uint64_t first = 0; first < elements; first += values.size()) {
    values.resize(std::min(panel, elements - first));
    file.read_f32(i, first, values.size(), values.data());
    if (find_too_large(file, i, dtype, first, values)) return false;
  }
  return true;
}

}  // namespace occ
