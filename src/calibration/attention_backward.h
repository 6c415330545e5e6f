// Attention over whole sequences and its gradient, for causal models and encoders. Matrix products take a block of
// queries together with all keys that these queries see. The backward pass computes the attention weights again.
//
//   P = softmax(Q K^T / sqrt(head_dim)),  O = P V
//   dV = P^T dO,  dP = dO V^T,  dS = softmax'(dP) / sqrt(head_dim),  dQ = dS K,  dK = dS^T Q
#pragma once

#include <span>

#include "model/config.h"
#include "occ/matrix.h"

namespace occ {

// A range of rows [row, row + count) of the activations: the tokens of one sequence.
struct SequenceRows {
  size_t row = 0, count = 0;
};

// Reads qkv [rows, qkv_dim], queries, keys and values after their norms and the rotation, and writes mixed
// [rows, heads * head_dim], the input of the attention output.
void attention_forward(const ModelConfig& config, size_t layer, std::span<const SequenceRows> sequences,
                       MatrixView<const float> qkv, MatrixView<float> mixed);
// Computes d_qkv, the gradient of qkv, from d_mixed, the gradient of the output. Writes every element of d_qkv.
void attention_backward(const ModelConfig& config, size_t layer, std::span<const SequenceRows> sequences,
                        MatrixView<const float> qkv, MatrixView<const float> d_mixed, MatrixView<float> d_qkv);

}  // namespace occ
