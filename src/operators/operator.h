// RUN: the product y = W x with a weight as it is stored.
//
// There are three kinds of operators behind one interface.
//   decoded  reads rows of W, or decodes them from an archive, one tile at a time and multiplies in f32. It works for
//            every recipe and every file, and the tests compare the others with it.
//   rotated  applies a linear transform of the recipe to the activations instead of the weight, and factors of rows to
//            the outputs.
//   fused    multiplies the integers that the codes stand for (BoundRecipe::integer_view) with activations in int8.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

// Up to so many inputs of an operator give the same outputs, bit for bit, as each of them alone. For more inputs there
// are other kernels, whose sums have another order.
inline constexpr size_t kInputsAsAlone = 8;

class Operator {
 public:
  virtual ~Operator() = default;
  virtual Shape shape() const = 0;  // [out, in]
  // y [batch, out] = x [batch, in] W^T. Overwrites y, which must not overlap x. Uses parallel_for. Thread-safe.
  virtual void apply(MatrixView<const float> x, MatrixView<float> y) const = 0;
  // Copies row ids[i] of W, for instance the embedding of a token, to row i of out [ids.size(), in]. Every id must be
  // less than the number of rows. Thread-safe.
  virtual void rows(std::span<const uint32_t> ids, MatrixView<float> out) const = 0;
  // Bytes of memory that the weight takes, memory-mapped parts of files included.
  virtual uint64_t resident_bytes() const = 0;
  // A description for people: "f32", "int8: 4-bit codes, 8 states", "decoded by tile".
  virtual std::string kind() const = 0;
};

enum class Arithmetic {
  kF32,   // decoded values stay in RAM as floats (bf16, f16 and f32 tensors keep their type); products in f32
  kInt8,  // compressed weights stay compressed in RAM: integer codes times int8 activations, or decoded tile by tile
};

struct OperatorOptions {
  Arithmetic arithmetic = Arithmetic::kInt8;
  bool transposed = false;  // the tensor holds W^T [in, out], like the Conv1D layers of GPT-2
};

// The operator of tensor `index` of `file`, seen as a matrix of shape matrix_shape(). The file may be an archive; it
// must outlive the operator.
std::unique_ptr<Operator> make_operator(const TensorFile& file, size_t index, const OperatorOptions& options);

}  // namespace occ
