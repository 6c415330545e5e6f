// One layer of a model over a panel of whole sequences, forward and backward. The backward pass computes everything
// between the layer's input and output again.
//
// This is the same mathematics as run_layer (model/block.h), in other code: gradients need the weights as dense floats,
// attention weights as matrices and the derivatives of activations, where inference has packed weights and a KV cache.
// What both do token by token is shared (finish_heads, normalize, routing).
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "calibration/attention_backward.h"
#include "calibration/dense_layer.h"
#include "calibration/gradients.h"
#include "model/config.h"
#include "model/experts.h"

namespace occ {

// Cosines and sines of positions 0, 1, ...; `back` turns the other way.
struct Rotations {
  Matrix<float> forth, back;
};

// Gradients of norm weights and biases, summed over panels in double.
class VectorGradients {
 public:
  void add(const std::string& tensor, std::span<const double> sums);
  // Sums of the columns of dy.
  void add_columns(const std::string& tensor, MatrixView<const float> dy);
  // Hands all of them to the observer and starts anew.
  void flush(GradientObserver& observer);

 private:
  std::map<std::string, std::vector<double>> sums_;
};

// dx += gradient of x through out = norm(x); dy: gradient of out. Those of the norm's vectors go to `vectors`.
void norm_backward(const ModelConfig& config, const NormWeights& norm, MatrixView<const float> x,
                   MatrixView<const float> dy, MatrixView<float> dx, VectorGradients& vectors);

class LayerPass {
 public:
  // Buffers for up to `rows` tokens. rotations: [0] for sequences of at most rope_original_context tokens, [1] for
  // longer ones; empty without rotary positions.
  LayerPass(const ModelConfig& config, size_t rows, std::span<const Rotations> rotations);

  // x [rows, dim]: the layer's input, replaced by its output.
  void forward(const DenseLayer& layer, size_t index, std::span<const SequenceRows> sequences, MatrixView<float> x);
  // x: the layer's input; dx: gradient of the layer's output, replaced by that of its input.
  void backward(const DenseLayer& layer, size_t index, std::span<const SequenceRows> sequences,
                MatrixView<const float> x, MatrixView<float> dx, GradientObserver& observer, VectorGradients& vectors);

 private:
  // normed_, qkv_ and mixed_ of the layer's input x. keep_raw: raw_ too.
  void attention(const DenseLayer& layer, size_t index, std::span<const SequenceRows> sequences,
                 MatrixView<const float> x, bool keep_raw);
  // Everything up to the MLP: attention(), middle := x + its output, normed_mlp_ := the input of the MLP. `middle` may
  // be x.
  void forward_to_mlp(const DenseLayer& layer, size_t index, std::span<const SequenceRows> sequences,
                      MatrixView<const float> x, MatrixView<float> middle, bool keep_raw);
  void attention_gradient(const DenseLayer& layer, size_t index, std::span<const SequenceRows> sequences,
                          MatrixView<const float> d_out, MatrixView<float> d_in, GradientObserver& observer,
                          VectorGradients& vectors);
  // Experts of every token; the router's logits stay in logits_.
  Routes route(const DenseLayer& layer, MatrixView<const float> in);
  // out = down(...), without its bias.
  void mlp_forward(const DenseLayer& layer, size_t mlp, MatrixView<const float> in, MatrixView<float> out);
  // narrow_ := the input of `down`, wide_ := the derivatives of the activation.
  void mlp_inner(const DenseLayer& layer, size_t mlp, MatrixView<const float> in);
  void backward_encoder(const DenseLayer& layer, size_t index, std::span<const SequenceRows> sequences,
                        MatrixView<const float> x, MatrixView<float> dx, GradientObserver& observer,
                        VectorGradients& vectors);
  void mlp_gradient(const DenseLayer& layer, size_t mlp, std::span<const SequenceRows> sequences,
                    MatrixView<const float> in, MatrixView<const float> d_out, MatrixView<float> d_in,
                    GradientObserver& observer, VectorGradients& vectors);
  void experts_gradient(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> in,
                        MatrixView<const float> d_out, MatrixView<float> d_in, GradientObserver& observer,
                        VectorGradients& vectors);
  // body(row, index of the row in rotations, rotations) for every token of the sequences, in parallel.
  template <typename F>
  void for_tokens(std::span<const SequenceRows> sequences, size_t cost, const F& body) const;

  const ModelConfig& config_;
  std::span<const Rotations> rotations_;
  // Inputs and outputs of the products; d_*: their gradients. raw_: queries, keys and values before norms and rotation.
  Matrix<float> normed_, qkv_, raw_, mixed_, middle_, wide_, narrow_, out_;
  Matrix<float> normed_mlp_, d_qkv_, d_mixed_, d_narrow_, d_normed_, d_normed_mlp_;
  Matrix<float> gathered_, d_gathered_, logits_;  // of experts
};

}  // namespace occ
