// Large intermediate matrices of floats that need not stay in memory: pages of an unlinked temporary file, which the
// kernel writes out when memory is short and which vanish with the process.
#pragma once

#include <filesystem>

#include "occ/matrix.h"

namespace occ {

class ScratchMatrix {
 public:
  ScratchMatrix() = default;
  // Zero-filled, in a file of `folder`. Failure that names the folder if there is no room.
  ScratchMatrix(const std::filesystem::path& folder, size_t rows, size_t cols);
  ~ScratchMatrix();
  ScratchMatrix(ScratchMatrix&& other) noexcept : view_(std::exchange(other.view_, {})) {}
  ScratchMatrix& operator=(ScratchMatrix&& other) noexcept {
    std::swap(view_, other.view_);
    return *this;
  }
  ScratchMatrix(const ScratchMatrix&) = delete;
  ScratchMatrix& operator=(const ScratchMatrix&) = delete;

  // Takes its pages out of this process' memory; the next access brings them back with what they held.
  void release() const;

  size_t rows() const { return view_.rows(); }
  size_t cols() const { return view_.cols(); }
  MatrixView<float> view() { return view_; }
  MatrixView<const float> view() const { return view_; }

 private:
  MatrixView<float> view_;
};

}  // namespace occ
