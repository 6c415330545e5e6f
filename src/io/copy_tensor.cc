#include "io/copy_tensor.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/option_name.h"
#include "base/parallel.h"
#include "tensor/panels.h"

namespace occ {
namespace {

void require_in_range(const std::string& where, DType dtype, const std::vector<float>& values, uint64_t first) {
  if (dtype != DType::kF16 && dtype != DType::kBF16) return;
  // These are the largest values that are rounded to a finite one.
  const float limit = dtype == DType::kF16 ? 65519.996f : 3.3961775e38f;
  for (size_t k = 0; k < values.size(); ++k) {
    if (std::isfinite(values[k]) && std::abs(values[k]) > limit) {
      throw_input("{}: expected values within the range of {}, found {} at element {} ({} f32 holds it)", where,
                  dtype_name(dtype), values[k], first + k, option_name("dtype"));
    }
  }
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
      require_in_range(file.path() + ": tensor '" + info.name + "'", dtype, values, first);
    });
    for (size_t p = 0; p < count; ++p) {
      sink.write(panels[p].data(), panels[p].size());
      if (progress) progress(panels[p].size());
    }
  }
}

}  // namespace occ
