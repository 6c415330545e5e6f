// Weights of a layer as dense floats [out, in], whatever form the file has, for products by BLAS.
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
  Layer info;  // names, sizes and vectors; its linear layers have no weights
  // Queries, keys and values, joined by rows or as the file's joined tensor has them; attention output; router (empty
  // if there is none); then for every MLP gate and up, joined in the same way, and down.
  std::vector<Matrix<float>> matrices;

  MatrixView<const float> qkv() const { return matrices[0].view(); }
  MatrixView<const float> attention_output() const { return matrices[1].view(); }
  MatrixView<const float> router() const { return matrices[2].view(); }
  MatrixView<const float> gate_up(size_t mlp) const { return matrices[3 + 2 * mlp].view(); }
  MatrixView<const float> down(size_t mlp) const { return matrices[4 + 2 * mlp].view(); }
};

// Where the weight of a linear layer lies: rows from `row` on of matrices[matrix], which has `cols` columns.
struct DensePart {
  const Linear* linear;
  size_t matrix, row, cols;
};

std::vector<DensePart> dense_parts(const ModelConfig& config, const Layer& layer);

DenseLayer read_dense_layer(const TensorFile& file, const ModelConfig& config, Layer info);

// Reads a whole tensor as a matrix [rows, cols].
Matrix<float> read_matrix(const TensorFile& file, size_t tensor);
// Reads some rows of a tensor, in one pass over it.
void gather_rows(const TensorFile& file, size_t tensor, std::span<const uint32_t> rows, MatrixView<float> out);

// y = x W^T (kTranspose) or x W (kNone), cut into tasks that do not depend on the number of threads.
void product(MatrixView<const float> x, Op op_w, MatrixView<const float> w, MatrixView<float> y);

// Name of the bias that belongs to the weight.
std::string bias_tensor(const Linear& linear);

}  // namespace occ
