// Attention over whole sequences, of causal models and encoders, and its gradient, by matrix products: a block of
// queries with all keys that they see. Attention weights are computed again for the gradient.
//
//   P = softmax(Q K^T / sqrt(head_dim)),  O = P V
//   dV = P^T dO,  dP = dO V^T,  dS = softmax'(dP) / sqrt(head_dim),  dQ = dS K,  dK = dS^T Q
#pragma once

#include <span>

#include "model/config.h"
#include "occ/matrix.h"

namespace occ {

// Rows [row, row + count) of the activations.
struct SequenceRows {
  size_t row = 0, count = 0;
};

// qkv [rows, qkv_dim] after norms and rotation -> mixed [rows, heads * head_dim].
void attention_forward(const ModelConfig& config, size_t layer, std::span<const SequenceRows> sequences,
                       MatrixView<const float> qkv, MatrixView<float> mixed);
// d_mixed -> d_qkv, every element of which is written.
void attention_backward(const ModelConfig& config, size_t layer, std::span<const SequenceRows> sequences,
                        MatrixView<const float> qkv, MatrixView<const float> d_mixed, MatrixView<float> d_qkv);

}  // namespace occ
