// The matrix of an embedding or of the head for the passes of gradients.h.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "calibration/dense_layer.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

// A matrix that is kept in memory, or read from the file for every use.
class WeightsOnDemand {
 public:
  WeightsOnDemand() = default;
  WeightsOnDemand(const TensorFile& file, size_t tensor, bool keep) : file_(&file), tensor_(tensor), keep_(keep) {}
  const std::string& name() const { return file_->tensors()[tensor_].name; }
  void load() {
    if (matrix_.size() == 0) matrix_ = read_matrix(*file_, tensor_);
  }
  void drop() {
    if (!keep_) matrix_ = {};
  }
  MatrixView<const float> view() const { return matrix_.view(); }
  void gather(std::span<const uint32_t> rows, MatrixView<float> out) {
    if (keep_) load();
    if (matrix_.size() == 0) return gather_rows(*file_, tensor_, rows, out);
    for (size_t i = 0; i < rows.size(); ++i) std::copy_n(matrix_.row(rows[i]), out.cols(), out.row(i));
  }

 private:
  const TensorFile* file_ = nullptr;
  size_t tensor_ = 0;
  bool keep_ = false;
  Matrix<float> matrix_;
};

}  // namespace occ
