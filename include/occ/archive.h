// Reading .occ archives (and every other input format). Needs the library occ::decode.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "occ/error.h"
#include "occ/matrix.h"

namespace occ {

class TensorFile;

class Archive {
 public:
  struct Tensor {
    std::string name;
    std::vector<uint64_t> shape;
    std::string dtype;
    std::string recipe;         // empty: kept as it is
    Shape matrix;               // rows x cols that it is coded as
    uint64_t stored_bytes = 0;  // in the file
  };

  // Input error for anything that is not a whole archive.
  static Archive open(const std::filesystem::path& path);
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;
  ~Archive();

  const std::vector<Tensor>& tensors() const { return tensors_; }
  // Index of a name; usage error if there is none.
  size_t find(const std::string& name) const;
  // The whole tensor, decoded to f32.
  Matrix<float> read(const std::string& name) const;
  // Rows [row, row + out.rows()) of tensor i; out.cols() must be its matrix.cols. Thread-safe.
  void read_rows(size_t i, size_t row, MatrixView<float> out) const;
  // Checks every byte and decodes everything; input error on the first fault.
  void verify() const;

 private:
  explicit Archive(const std::filesystem::path& path);
  std::unique_ptr<TensorFile> file_;
  std::vector<Tensor> tensors_;
};

}  // namespace occ
