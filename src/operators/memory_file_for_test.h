// What tests and benchmarks of this folder share: transposed matrices and files in memory.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "base/normal_matrix_for_test.h"
#include "tensor/tensor_file.h"

namespace occ {

inline Matrix<float> transposed_for_test(MatrixView<const float> x) {
  Matrix<float> y(x.cols(), x.rows());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) y(c, r) = x(r, c);
  }
  return y;
}

// One tensor "w" of the given type of float.
class MemoryFile final : public TensorFile {
 public:
  MemoryFile(MatrixView<const float> w, DType type) : infos_(1), bytes_(w.size() * dtype_size(type)) {
    infos_[0].name = std::string("w");
    infos_[0].shape = {w.rows(), w.cols()};
    infos_[0].dtype = type;
    infos_[0].stored_bytes = bytes_.size();
    for (size_t r = 0; r < w.rows() && w.cols() != 0; ++r) {
      convert_from_f32(type, w.row(r), bytes_.data() + r * w.cols() * dtype_size(type), w.cols());
    }
  }
  std::string path() const override { return "memory"; }
  std::string format() const override { return "memory"; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    convert_to_f32(infos_[i].dtype, bytes_.data() + first * dtype_size(infos_[i].dtype), out, count);
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    const size_t size = dtype_size(infos_[i].dtype);
    if (count != 0) std::memcpy(out, bytes_.data() + first * size, count * size);
  }
  uint64_t file_bytes() const override { return bytes_.size(); }

  Matrix<float> values(size_t i) const {
    Matrix<float> m(infos_[i].shape[0], infos_[i].shape[1]);
    read_f32(i, 0, m.size(), m.data());
    return m;
  }

 private:
  std::vector<TensorInfo> infos_;
  Bytes bytes_;
};

}  // namespace occ
