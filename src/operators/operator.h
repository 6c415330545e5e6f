// RUN: y = W x straight from a stored weight.
//
// Three kinds, one interface. Decoded: rows of W are read (from an archive: decoded) a tile at a time and multiplied in
// f32; works for every recipe and every file, and is the oracle of the others. Rotated: a linear transform of the
// recipe is moved from the weight to the activations, factors of rows to the outputs. Fused: a kernel over the integers
// that a recipe's codes stand for (BoundRecipe::integer_view), with activations in int8.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

class Operator {
 public:
  virtual ~Operator() = default;
  virtual Shape shape() const = 0;  // [out, in]
  // y [batch, out] = x [batch, in] W^T, overwriting y, which must not overlap x. Uses parallel_for; thread-safe.
  virtual void apply(MatrixView<const float> x, MatrixView<float> y) const = 0;
  // Row ids[i] of W into row i of out [ids.size(), in]: the embedding of token ids[i]. Every id < out. Thread-safe.
  virtual void rows(std::span<const uint32_t> ids, MatrixView<float> out) const = 0;
  // Memory that belongs to the weight: what is mapped counts as well.
  virtual uint64_t resident_bytes() const = 0;
  virtual std::string kind() const = 0;  // for people: "f32", "int8: 4-bit codes, 8 states", "decoded by tile"
};

enum class Arithmetic {
  kF32,   // values as decoded, in RAM as floats (bf16, f16 and f32 sources keep their type), products in f32
  kInt8,  // compressed weights stay compressed: codes as integers with activations in int8, or decoded by tile
};

struct OperatorOptions {
  Arithmetic arithmetic = Arithmetic::kInt8;
  bool transposed = false;  // the tensor holds W^T [in, out], as the Conv1D of GPT-2 does
};

// Tensor `index` of `file`, which must outlive the operator, as a matrix (matrix_shape). Archives are recognised.
std::unique_ptr<Operator> make_operator(const TensorFile& file, size_t index, const OperatorOptions& options);

}  // namespace occ
