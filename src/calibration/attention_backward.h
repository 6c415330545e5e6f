// Attention over whole sequences and its gradient, for causal models and encoders. Matrix products take a block of
// queries together with all keys that these queries see. The backward pass computes the attention weights again.
//
//   P = softmax(s Q K^T),  O = P V   (s: ModelConfig::score_scale)
//   dV = P^T dO,  dP = dO V^T,  dS = s softmax'(dP),  dQ = dS K,  dK = dS^T Q
//   With a soft cap c: P = softmax(T), T = c tanh(s Q K^T / c), and dS has the factor 1 - (T / c)^2.
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
void attention_forward(const ModelConfig& config, const LayerKind& kind, std::span<const SequenceRows> sequences,
                       MatrixView<const float> qkv, MatrixView<float> mixed);
// Computes d_qkv, the gradient of qkv, from d_mixed, the gradient of the output. Writes every element of d_qkv.
void attention_backward(const ModelConfig& config, const LayerKind& kind, std::span<const SequenceRows> sequences,
                        MatrixView<const float> qkv, MatrixView<const float> d_mixed, MatrixView<float> d_qkv);

}  // namespace occ
