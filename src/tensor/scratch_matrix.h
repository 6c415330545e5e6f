// Large intermediate matrices of floats that need not stay in memory. They are mapped from a temporary file without a
// name: the operating system writes their pages to disk when memory is short and deletes them when the process ends.
#pragma once

#include <filesystem>

#include "occ/matrix.h"

namespace occ {

class ScratchMatrix {
 public:
  ScratchMatrix() = default;
  // A matrix [rows, cols] of zeros, in a file in `folder`. Throws a failure that names the folder if the file cannot be
  // created or there is not enough space.
  ScratchMatrix(const std::filesystem::path& folder, size_t rows, size_t cols);
  ~ScratchMatrix();
  ScratchMatrix(ScratchMatrix&& other) noexcept : view_(std::exchange(other.view_, {})) {}
  ScratchMatrix& operator=(ScratchMatrix&& other) noexcept {
    std::swap(view_, other.view_);
    return *this;
  }
  ScratchMatrix(const ScratchMatrix&) = delete;
  ScratchMatrix& operator=(const ScratchMatrix&) = delete;

  // Moves the pages out of the memory of this process. The next access reads them back.
  void release() const;

  size_t rows() const { return view_.rows(); }
  size_t cols() const { return view_.cols(); }
  MatrixView<float> view() { return view_; }
  MatrixView<const float> view() const { return view_; }

 private:
  MatrixView<float> view_;
};

}  // namespace occ
