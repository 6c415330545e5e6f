// Forward and backward pass of a model over whole sequences, layer by layer. Observers get the inputs and the output
// gradients of every linear layer and the gradients of embedding rows and of vectors (norms, biases): Fisher
// information and fine-tuning are made of these.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "calibration/attention_backward.h"
#include "model/config.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

// Of a linear layer y = x W^T, for the tokens of a panel; of an expert, for those tokens that it gets.
struct LinearGradients {
  const std::string& tensor;          // the weight's name in the file
  MatrixView<const float> inputs;     // x [tokens, in]
  MatrixView<const float> weights;    // W [out, in]
  MatrixView<const float> gradients;  // dL/dy [tokens, out], y before its bias
  std::span<const SequenceRows> sequences;
};

// Calls come one at a time, several for the same tensor, each with another panel of tokens.
class GradientObserver {
 public:
  virtual ~GradientObserver() = default;
  // Called for the head too: its gradients are dL/dlogits, its `sequences` are empty.
  virtual void linear(const LinearGradients& g) = 0;
  // gradients [tokens, dim]: of the rows of an embedding that were looked up. Also called for learned positions.
  virtual void embedding(const std::string& tensor, std::span<const uint32_t> rows,
                         MatrixView<const float> gradients) = 0;
  // Gradient of a norm weight, norm bias or bias, summed over all tokens.
  virtual void vector(const std::string& tensor, std::span<const float> gradient) = 0;
};

// Returns the sum of the losses of some tokens and replaces `logits` by its gradient. Causal models: logits [n, vocab]
// of tokens [first, first + n), sequences one after the other. Encoders: embeddings [n, dim] of texts [first, first +
// n).
using LossFn = std::function<double(size_t first, MatrixView<float> logits)>;

// Where a pass begins in a causal model: the inputs [tokens, dim] of a layer, of all sequences one after the other.
struct LayerInputs {
  size_t layer = 0;
  MatrixView<const float> states;  // empty: it begins with the embedding
};

// A causal model or an encoder with all weights as floats, either one layer at a time in memory or all of them.
//
// The forward pass keeps the input of every layer in scratch files. The backward pass goes from the last layer to the
// first and computes the rest again, for panels of whole sequences (some 1,024 tokens) at a time. The observer gets the
// panels of a tensor in the order of the tokens. Results do not depend on the number of threads.
class GradientModel {
 public:
  // Input errors as load_transformer and load_encoder have them. `file` must outlive this.
  GradientModel(const TensorFile& file, const std::filesystem::path& scratch_folder, bool keep_weights);
  ~GradientModel();
  const ModelConfig& config() const;
  const std::string& head_tensor() const;  // the embedding if it is tied to the head; empty for encoders
  const std::string& embedding_tensor() const;
  // Replaces the values of a norm weight, norm bias or bias.
  void set_vector(const std::string& tensor, std::vector<float> values);
  // Multiplies the rows of the weight of a linear layer by these factors, which replace those of earlier calls. Usage
  // error unless `tensor` is the weight of a linear layer (not the head) with as many outputs.
  void set_row_factors(const std::string& tensor, std::vector<float> factors);
  // Each sequence from an empty context; returns the sum of the losses. Usage error for sequences longer than the model
  // takes, input error for tokens outside the vocabulary.
  // The observer gets the gradients of what runs after `start`.
  double run(std::span<const std::vector<TokenId>> sequences, const LossFn& loss, GradientObserver& observer,
             const LayerInputs& start = {});
  // The sum of the losses alone.
  double evaluate(std::span<const std::vector<TokenId>> sequences, const LossFn& loss, const LayerInputs& start = {});
  // Only for causal models. states [tokens, dim]: inputs of layer `first`, with `embed` those that the embedding
  // makes, replaced by those of layer `end`. Reads the weights of these layers anew.
  void advance(std::span<const std::vector<TokenId>> sequences, bool embed, size_t first, size_t end,
               MatrixView<float> states);
  // The weight of a linear layer of a model that keeps its weights, which may be changed. Usage error as above.
  MatrixView<float> weight(const std::string& tensor);
  // Only for causal models. hidden: out [tokens, dim] := states of all tokens after the final norm. logits: out [n,
  // vocab] := logits of such states [n, dim]; keeps the head in memory from then on.
  void hidden(std::span<const std::vector<TokenId>> sequences, MatrixView<float> out);
  void logits(MatrixView<const float> hidden, MatrixView<float> out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace occ
