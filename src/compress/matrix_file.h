// Presents a matrix in memory as a tensor file with one tensor.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tensor/tensor_file.h"

namespace occ {

class MatrixFile final : public TensorFile {
 public:
  MatrixFile(MatrixView<const float> matrix, const std::string& name) : matrix_(matrix) {
    infos_.push_back({name, {matrix.rows(), matrix.cols()}, DType::kF32, "", matrix.size() * sizeof(float)});
  }
  std::string path() const override { return "matrix '" + infos_[0].name + "'"; }
  std::string format() const override { return "matrix"; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t, uint64_t first, uint64_t count, float* out) const override {
    for (uint64_t done = 0; done < count;) {
      const uint64_t row = (first + done) / matrix_.cols(), col = (first + done) % matrix_.cols();
      const uint64_t n = std::min<uint64_t>(count - done, matrix_.cols() - col);
      std::copy_n(matrix_.row(row) + col, n, out + done);
      done += n;
    }
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    read_f32(i, first, count, static_cast<float*>(out));
  }
  uint64_t file_bytes() const override { return infos_[0].stored_bytes; }

 private:
  MatrixView<const float> matrix_;
  std::vector<TensorInfo> infos_;
};

}  // namespace occ
