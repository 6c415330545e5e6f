// Forward and backward passes of a model over whole sequences, layer by layer. Observers receive the inputs and output
// gradients of every linear layer, and the gradients of embedding rows and of vectors (norms, biases). Fisher
// information and fine-tuning are computed from these.
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

// Inputs and gradients of a linear layer y = x W^T for the tokens of one panel. An expert has only the tokens that it
// gets.
struct LinearGradients {
  const std::string& tensor;          // name of the weight in the file
  MatrixView<const float> inputs;     // x [tokens, in]
  MatrixView<const float> weights;    // W [out, in]
  MatrixView<const float> gradients;  // dL/dy [tokens, out], where y is the output before the bias is added
  std::span<const SequenceRows> sequences;
};

// Receives gradients. Calls come one at a time; each tensor gets several calls, for different panels of tokens.
class GradientObserver {
 public:
  virtual ~GradientObserver() = default;
  // Called for the head too, with dL/dlogits as gradients and without `sequences`.
  virtual void linear(const LinearGradients& g) = 0;
  // gradients [tokens, dim] of the embedding rows that were looked up, which are `rows`. Also called for tables of
  // learned positions.
  virtual void embedding(const std::string& tensor, std::span<const uint32_t> rows,
                         MatrixView<const float> gradients) = 0;
  // Gradient of a norm weight, a norm bias or a bias, summed over all tokens.
  virtual void vector(const std::string& tensor, std::span<const float> gradient) = 0;
};

// Returns the sum of the losses of some tokens and replaces `logits` by its gradient. For causal models, logits
// [n, vocab] belong to tokens [first, first + n), counted over all sequences one after the other. For encoders, the
// argument has the embeddings [n, dim] of texts [first, first + n).
using LossFn = std::function<double(size_t first, MatrixView<float> logits)>;

// Where a pass through a causal model begins: `states` [tokens, dim] are the inputs of layer `layer`, all sequences one
// after the other.
struct LayerInputs {
  size_t layer = 0;
  MatrixView<const float> states;  // empty: the pass begins with the embedding
};

// A causal model or an encoder with its weights as floats. Either all weights are in memory, or one layer at a time.
//
// The forward pass keeps the input of every layer in scratch files. The backward pass goes from the last layer to the
// first and computes everything else again, in panels of whole sequences (about 1,024 tokens). The observer gets the
// panels of a tensor in the order of the tokens. Results do not depend on the number of threads.
class GradientModel {
 public:
  // Input errors are those of load_transformer and load_encoder. `file` must outlive this object.
  GradientModel(const TensorFile& file, const std::filesystem::path& scratch_folder, bool keep_weights);
  ~GradientModel();
  const ModelConfig& config() const;
  const std::string& head_tensor() const;  // name of the embedding if the head is tied to it; empty for encoders
  const std::string& embedding_tensor() const;
  // Replaces the values of a norm weight, norm bias or bias.
  void set_vector(const std::string& tensor, std::vector<float> values);
  // Multiplies row r of the weight of a linear layer by factors[r]. The factors replace those of earlier calls. Usage
  // error unless `tensor` is the weight of a linear layer other than the head, with one output for each factor.
  void set_row_factors(const std::string& tensor, std::vector<float> factors);
  // Runs each sequence from an empty context, beginning at `start`. Returns the sum of the losses. The observer gets
  // the gradients of everything that runs after `start`. Usage error for a sequence that is longer than the model
  // allows, input error for a token outside the vocabulary.
  double run(std::span<const std::vector<TokenId>> sequences, const LossFn& loss, GradientObserver& observer,
             const LayerInputs& start = {});
  // Returns the sum of the losses without computing gradients.
  double evaluate(std::span<const std::vector<TokenId>> sequences, const LossFn& loss, const LayerInputs& start = {});
  // Only for causal models. Replaces states [tokens, dim], the inputs of layer `first`, by the inputs of layer `end`.
  // With `embed`, the states are first set to the output of the embedding. Reads the weights of these layers from the
  // file again.
  void advance(std::span<const std::vector<TokenId>> sequences, bool embed, size_t first, size_t end,
               MatrixView<float> states);
  // Returns the weight of a linear layer, which may be changed. Only for a model that keeps its weights in memory.
  // Usage error as above.
  MatrixView<float> weight(const std::string& tensor);
  // Only for causal models. hidden() sets out [tokens, dim] to the states of all tokens after the final norm. logits()
  // sets out [n, vocab] to the logits of such states [n, dim]; it keeps the head in memory from then on.
  void hidden(std::span<const std::vector<TokenId>> sequences, MatrixView<float> out);
  void logits(MatrixView<const float> hidden, MatrixView<float> out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace occ
