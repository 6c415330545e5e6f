#include "tensor/panels.h"

#include <algorithm>

namespace occ {

size_t panel_rows(const TensorFile& file, size_t i) {
  const Shape shape = matrix_shape(file.tensors()[i].shape);
  const size_t unit = file.read_granularity(i);
  const size_t units = std::max<size_t>(1, (size_t{1} << 18) / std::max<size_t>(1, unit * shape.cols));
  return units * unit;
}

}  // namespace occ
