// The modules that sentence-transformers put behind the pooling of an encoder: Dense layers (2_Dense/config.json and
// 2_Dense/model.safetensors, whose tensors are called "2_Dense/linear.weight" here).
#pragma once

#include <string>
#include <vector>

#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

// y = activation(W x + b), with W [out, in] in f32.
struct DenseModule {
  Matrix<float> weight;
  std::vector<float> bias;  // [out], or empty
  std::string activation;   // "Identity", "Tanh", "ReLU", "GELU", "SiLU" or "Sigmoid"
};

// The Dense modules of modules.json in their order; none if the file has no modules.json. `dim`: width of the pooled
// vectors. Input error for a module of another type that changes vectors, for an unknown activation, and for a weight
// that is missing or has another shape than its inputs ask for.
std::vector<DenseModule> read_dense_modules(const TensorFile& file, size_t dim);

// [texts, in] through all modules, to [texts, out of the last].
Matrix<float> apply_modules(const std::vector<DenseModule>& modules, Matrix<float> x);

}  // namespace occ
