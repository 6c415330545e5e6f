// The weights of a layer as matrices of floats [out, in] for BLAS, in whatever format the file has them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "linalg/linalg.h"
#include "model/weights.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

struct DenseLayer {
  Layer info;  // names, sizes and vectors of the layer; its linear layers hold no weights
  // In this order: queries, keys and values, joined by rows or as the file's joined tensor has them; attention output;
  // router (empty if there is none); then for every MLP gate and up, joined in the same way, and down.
  std::vector<Matrix<float>> matrices;

  MatrixView<const float> qkv() const { return matrices[0].view(); }
  MatrixView<const float> attention_output() const { return matrices[1].view(); }
  MatrixView<const float> router() const { return matrices[2].view(); }
  MatrixView<const float> gate_up(size_t mlp) const { return matrices[3 + 2 * mlp].view(); }
  MatrixView<const float> down(size_t mlp) const { return matrices[4 + 2 * mlp].view(); }
};

// The place of the weight of a linear layer: the rows of matrices[matrix] that begin at `row`. The matrix has `cols`
// columns.
struct DensePart {
  const Linear* linear;
  size_t matrix, row, cols;
};

std::vector<DensePart> dense_parts(const ModelConfig& config, const Layer& layer);

DenseLayer read_dense_layer(const TensorFile& file, const ModelConfig& config, Layer info);

// Reads a whole tensor as a matrix [rows, cols].
Matrix<float> read_matrix(const TensorFile& file, size_t tensor);
// Copies the rows `rows` of a tensor to out [rows.size(), cols], in one pass over the tensor.
void gather_rows(const TensorFile& file, size_t tensor, std::span<const uint32_t> rows, MatrixView<float> out);

// y = x W^T (kTranspose) or y = x W (kNone). The work is cut into tasks in the same way for every number of threads.
void product(MatrixView<const float> x, Op op_w, MatrixView<const float> w, MatrixView<float> y);

// Returns the name of the bias that belongs to the weight.
std::string bias_tensor(const Linear& linear);

}  // namespace occ
