#include "tensor/tensor_file.h"

#include "base/check.h"

namespace occ {

Shape matrix_shape(const std::vector<uint64_t>& shape) {
  if (shape.empty()) return {1, 1};
  size_t cols = shape.back();
  size_t d = shape.size() - 1;
  for (; d > 1 && cols < 64; --d) cols *= shape[d - 1];
  size_t rows = 1;
  for (size_t i = 0; i < d; ++i) rows *= shape[i];
  return {rows, cols};
}

size_t TensorFile::find(const std::string& name) const {
  size_t i = 0;
  while (i < tensors().size() && tensors()[i].name != name) ++i;
  return i;
}

void TensorRows::read_rows(size_t row, MatrixView<float> out) const {
  OCC_CHECK(out.cols() == shape_.cols);
  if (out.contiguous()) {
    file_.read_f32(index_, row * shape_.cols, out.size(), out.data());
    return;
  }
  for (size_t r = 0; r < out.rows(); ++r) {
    file_.read_f32(index_, (row + r) * shape_.cols, shape_.cols, out.row(r));
  }
}

}  // namespace occ
