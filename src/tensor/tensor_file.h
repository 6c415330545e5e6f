// The interface of all readers of src/io and of the archive reader: named tensors, which are read in their own type or
// as f32, and the small files that belong to them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "occ/matrix.h"
#include "tensor/dtype.h"
#include "tensor/row_source.h"

namespace occ {

struct TensorInfo {
  std::string name;
  std::vector<uint64_t> shape;  // the outermost dimension first, as in safetensors (the GGUF reader reverses its order)
  DType dtype = DType::kF32;    // element type; for data that is quantized in blocks, the float type it is converted to
  std::string stored_type;      // type in the file if it is not dtype ("Q4_K"), or recipe in an archive; or empty
  uint64_t stored_bytes = 0;    // the number of bytes of its data in the file
  std::string keep = {};        // why `compress` keeps it unless asked otherwise; empty: that depends on name and shape

  uint64_t elements() const {
    uint64_t n = 1;
    for (const uint64_t d : shape) n *= d;
    return n;
  }
};

// The shape of the matrix that a tensor is coded as. The last dimensions are joined to columns until a row has at least
// 64 elements or only the first dimension is left; the other dimensions are joined to rows. So convolutions
// [out, in, kh, kw] become [out, in*kh*kw], and stacks of experts [experts, out, in] become [experts*out, in]. A vector
// becomes one row, and a scalar becomes 1 x 1.
Shape matrix_shape(const std::vector<uint64_t>& shape);

// A small file that belongs to a model: config.json, tokenizer.json, ...
struct SideFile {
  std::string name;  // relative to the folder of the model
  Bytes bytes;
};

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual std::string path() const = 0;
  // "safetensors", "hf", "gguf", "npy", "npz", "fvecs", "bvecs", "ivecs" or "occ".
  virtual std::string format() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  // Elements [first, first + count) of tensor i in row-major order, as f32. Thread-safe. Does not reject NaN or Inf.
  virtual void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const = 0;
  // The same elements as bytes in the type tensors()[i].dtype. Data that is quantized in blocks is converted to this
  // type. Thread-safe.
  virtual void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const = 0;
  // The number of rows of the matrix (see matrix_shape) that should be read together: ranges of read_f32 should start
  // at multiples of it and have a size that is a multiple of it. Otherwise archives, which decode whole tiles, decode
  // some rows twice.
  virtual size_t read_granularity(size_t /*i*/) const { return 1; }
  virtual std::vector<SideFile> side_files() const { return {}; }
  // What is odd about the file and how it was read nevertheless, one line each, for the reports of commands.
  virtual std::vector<std::string> notes() const { return {}; }
  // The size in bytes of all files that hold the tensors (all shards, without side files).
  virtual uint64_t file_bytes() const = 0;

  // The index of the tensor with this name, or tensors().size() if there is none.
  size_t find(const std::string& name) const;
};

// Tensor `index` of `file` as a matrix of the given shape (see matrix_shape).
class TensorRows final : public RowSource {
 public:
  TensorRows(const TensorFile& file, size_t index)
      : file_(file), index_(index), shape_(matrix_shape(file.tensors()[index].shape)) {}
  Shape shape() const override { return shape_; }
  void read_rows(size_t row, MatrixView<float> out) const override;

 private:
  const TensorFile& file_;
  size_t index_;
  Shape shape_;
};

}  // namespace occ
