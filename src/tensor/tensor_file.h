// What every reader of src/io (and the archive) gives: named tensors, read raw or as f32 rows, plus the files beside
// them.
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
  std::vector<uint64_t> shape;  // outermost first, as in safetensors (GGUF's order is reversed by its reader)
  DType dtype = DType::kF32;    // element type, or the float type that block-quantized data becomes
  std::string stored_type;      // type in the file when it is not dtype itself, e.g. "Q4_K"; empty otherwise
  uint64_t stored_bytes = 0;    // bytes of its data in the file

  uint64_t elements() const {
    uint64_t n = 1;
    for (const uint64_t d : shape) n *= d;
    return n;
  }
};

// The matrix that a tensor is coded as: the last dimensions are joined until a row has at least 64 elements or only the
// first dimension is left, so that convolutions [out, in, kh, kw] become [out, in*kh*kw] and stacks of experts
// [experts, out, in] become [experts*out, in]. A vector is one row; a scalar is 1 x 1.
Shape matrix_shape(const std::vector<uint64_t>& shape);

// A small file that belongs to a model: config.json, tokenizer.json, ...
struct SideFile {
  std::string name;  // file name without folder
  Bytes bytes;
};

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual std::string path() const = 0;
  virtual std::string format() const = 0;  // "safetensors", "hf", "gguf", "npy", "fvecs", "bvecs", "ivecs", "occ"
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  // Elements [first, first + count) of tensor i in row-major order, as f32. Thread-safe. Does not reject NaN or Inf.
  virtual void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const = 0;
  // The same elements as bytes of tensors()[i].dtype (block-quantized data is converted). Thread-safe.
  virtual void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const = 0;
  // Rows of the matrix (see matrix_shape) that are read together without waste: ranges of read_f32 should start at and
  // span multiples of it (archives decode whole tiles).
  virtual size_t read_granularity(size_t /*i*/) const { return 1; }
  virtual std::vector<SideFile> side_files() const { return {}; }
  // Bytes on disk of everything this was read from (all shards, without side files).
  virtual uint64_t file_bytes() const = 0;

  // Index of the tensor `name`, or tensors().size().
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
