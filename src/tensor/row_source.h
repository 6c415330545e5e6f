// A matrix whose rows can be read any number of times: a tensor in a file or a matrix in memory.
#pragma once

#include <cstddef>

#include "occ/matrix.h"

namespace occ {

// The least number of rows that hold at least 2^16 elements together. Values are hashed and measured in steps of this
// many rows.
constexpr size_t chunk_rows(size_t cols) {
  cols = cols == 0 ? 1 : cols;
  return ((size_t{1} << 16) + cols - 1) / cols;
}

class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual Shape shape() const = 0;
  // Fills `out` [out.rows(), cols] with the rows [row, row + out.rows()) as f32. Thread-safe.
  virtual void read_rows(size_t row, MatrixView<float> out) const = 0;
};

class MatrixSource final : public RowSource {
 public:
  explicit MatrixSource(MatrixView<const float> matrix) : matrix_(matrix) {}
  Shape shape() const override { return matrix_.shape(); }
  void read_rows(size_t row, MatrixView<float> out) const override {
    for (size_t r = 0; r < out.rows(); ++r) {
      if (out.cols() != 0) std::memcpy(out.row(r), matrix_.row(row + r), out.cols() * sizeof(float));
    }
  }

 private:
  MatrixView<const float> matrix_;
};

}  // namespace occ
