// Reading .occ archives. Needs the library occ::decode.
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

// An open archive. It may be read from several threads at once.
class Archive {
 public:
  // A tensor of the archive.
  struct Tensor {
    std::string name;             // as in the source
    std::vector<uint64_t> shape;  // as in the source
    std::string dtype;            // of the source, as safetensors spells it: "F32", "BF16", "I64", ...
    std::string recipe;           // how it is coded; empty: kept as it is
    Shape matrix;               // of the matrix that it is coded as: columns are the last dimension, joined with those
                                // before it until there are 64; rows are the other dimensions
    uint64_t stored_bytes = 0;  // that it takes in the file
  };

  // Maps the file and reads its index, no values. Input error if it is anything but a whole archive: other formats are
  // read by occ::compress_file (occ/compress.h).
  static Archive open(const std::filesystem::path& path);
  Archive(Archive&&) noexcept;
  Archive& operator=(Archive&&) noexcept;
  ~Archive();

  // All tensors, in the order of the source.
  const std::vector<Tensor>& tensors() const { return tensors_; }
  // Index in tensors() of a name; usage error if there is none.
  size_t find(const std::string& name) const;
  // All values of a tensor as f32, in the shape of its `matrix`. Usage error if there is no such tensor, input error
  // if its data are damaged.
  Matrix<float> read(const std::string& name) const;
  // The same for rows [row, row + out.rows()) of tensors()[i]; out.cols() must be its matrix.cols. Usage error for
  // rows that it does not have.
  void read_rows(size_t i, size_t row, MatrixView<float> out) const;
  // Checks every byte and decodes everything; input error on the first fault.
  void verify() const;

 private:
  explicit Archive(const std::filesystem::path& path);
  std::unique_ptr<TensorFile> file_;
  std::vector<Tensor> tensors_;
};

}  // namespace occ
