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

// Cosines and sines for positions 0, 1, ...; `back` has those of the inverse rotation.
struct Rotations {
  Matrix<float> forth, back;
};

// Sums the gradients of norm weights and biases over panels, in double.
class VectorGradients {
 public:
  void add(const std::string& tensor, std::span<const double> sums);
  // Adds the sums of the columns of dy, the gradient of a bias.
  void add_columns(const std::string& tensor, MatrixView<const float> dy);
  // Passes all sums to the observer and starts again from 0.
  void flush(GradientObserver& observer);

 private:
  std::map<std::string, std::vector<double>> sums_;
};

// Adds the gradient of x to dx, where out = norm(x) (x itself if the norm has no weights) and dy is the gradient of out.
// Adds the gradients of the norm's weight and bias to `vectors`.
void norm_backward(const ModelConfig& config, const NormWeights& norm, MatrixView<const float> x,
                   MatrixView<const float> dy, MatrixView<float> dx, VectorGradients& vectors);

class LayerPass {
 public:
  // Makes buffers for up to `rows` tokens. rotations[0] is for sequences of at most rope_original_context tokens,
  // rotations[1] for longer ones, rotations[2] for layers with LayerKind::local_rope; empty without rotary positions.
  LayerPass(const ModelConfig& config, size_t rows, std::span<const Rotations> rotations);

  // x [rows, dim] is the input of the layer and is replaced by its output.
  void forward(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<float> x);
  // x is the input of the layer. dx is the gradient of the layer's output and is replaced by that of its input.
  void backward(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> x,
                MatrixView<float> dx, GradientObserver& observer, VectorGradients& vectors);

 private:
  // Computes normed_, qkv_ and mixed_ from the layer's input x; with keep_raw also raw_.
  void attention(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> x,
                 bool keep_raw);
  // Computes everything up to the MLP: attention(), middle := x + its output, normed_mlp_ := the input of the MLP.
  // `middle` may be the same memory as x.
  void forward_to_mlp(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> x,
                      MatrixView<float> middle, bool keep_raw);
  void attention_gradient(const DenseLayer& layer, std::span<const SequenceRows> sequences,
                          MatrixView<const float> d_out, MatrixView<float> d_in, GradientObserver& observer,
                          VectorGradients& vectors);
  // The gradient of the outputs of a linear layer before its bias, of which the residual stream got
  // residual_scale * norm(outputs + bias). dx is the gradient of the residual stream. `make_outputs` is called if the
  // norm needs the outputs. The result is dx or lies in buffers until the next call.
  template <typename F>
  MatrixView<const float> added_gradient(const NormWeights& norm, const float* bias, MatrixView<const float> dx,
                                         const F& make_outputs, VectorGradients& vectors);
  // Chooses the experts of every token. The logits of the router stay in logits_.
  Routes route(const DenseLayer& layer, MatrixView<const float> in);
  // out := the output of the MLP, or of all experts with their biases, but without Layer::mlp_output_bias.
  void mlp_output(const DenseLayer& layer, MatrixView<const float> in, MatrixView<float> out);
  // out := the output of one MLP without the bias of `down`.
  void mlp_forward(const DenseLayer& layer, size_t mlp, MatrixView<const float> in, MatrixView<float> out);
  // Sets narrow_ to the input of `down` and wide_ to the derivatives of the activation.
  void mlp_inner(const DenseLayer& layer, size_t mlp, MatrixView<const float> in);
  void backward_of_sums(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> x,
                        MatrixView<float> dx, GradientObserver& observer, VectorGradients& vectors);
  void mlp_gradient(const DenseLayer& layer, size_t mlp, std::span<const SequenceRows> sequences,
                    MatrixView<const float> in, MatrixView<const float> d_out, MatrixView<float> d_in,
                    GradientObserver& observer, VectorGradients& vectors);
  void experts_gradient(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> in,
                        MatrixView<const float> d_out, MatrixView<float> d_in, GradientObserver& observer,
                        VectorGradients& vectors);
  // Calls body(row, position, rotations or null) for every token of the sequences, in parallel.
  template <typename F>
  void for_tokens(const LayerKind& kind, std::span<const SequenceRows> sequences, size_t cost, const F& body) const;

  const ModelConfig& config_;
  std::span<const Rotations> rotations_;
  // Inputs and outputs of the matrix products; d_* are their gradients. raw_ has queries, keys and values before their
  // norms and the rotation.
  Matrix<float> normed_, qkv_, raw_, mixed_, middle_, wide_, narrow_, out_;
  Matrix<float> normed_mlp_, d_qkv_, d_mixed_, d_narrow_, d_normed_, d_normed_mlp_;
  Matrix<float> added_, d_added_, d_scaled_;      // outputs that are added to the residual stream
  Matrix<float> gathered_, d_gathered_, logits_;  // for mixtures of experts
};

}  // namespace occ
