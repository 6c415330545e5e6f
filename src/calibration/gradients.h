// Forward and backward over whole sequences of a model, layer by layer: inputs and output gradients of every linear
// layer, gradients of embedding rows and of vectors (norms, biases). What second moments, sensitivities and tuning are
// made of.
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

// Of y = x W^T, for the tokens of a panel; of an expert for those that it gets.
struct LinearGradients {
  const std::string& tensor;          // the weight's name in the file
  MatrixView<const float> inputs;     // x [tokens, in]
  MatrixView<const float> weights;    // W [out, in]
  MatrixView<const float> gradients;  // dL/dy [tokens, out], y before its bias
  std::span<const SequenceRows> sequences;
};

// Calls come one at a time; the same tensor several times, a panel of tokens each.
class GradientObserver {
 public:
  virtual ~GradientObserver() = default;
  // The head too: its gradients are dL/dlogits of the scored positions; without sequences.
  virtual void linear(const LinearGradients& g) = 0;
  // dL/d(row of the embedding that was looked up) [tokens, dim]; also for learned positions, by position.
  virtual void embedding(const std::string& tensor, std::span<const uint32_t> rows,
                         MatrixView<const float> gradients) = 0;
  // dL/dv of a norm weight, norm bias or bias, summed over all tokens.
  virtual void vector(const std::string& tensor, std::span<const float> gradient) = 0;
};

// Loss of a causal model's scored rows: logits [n, vocab] of tokens [first, first + n) of all sequences one after the
// other -> their gradient, in place; returns the sum of the losses. Of an encoder: embeddings [n, dim] of texts
// [first, first + n).
using LossFn = std::function<double(size_t first, MatrixView<float> logits)>;

// A causal model or an encoder with all weights as floats, one layer at a time in memory or all of them.
//
// Forward keeps the input of every layer in temporary files; backward goes from the last layer to the first and
// computes the rest again, panels of whole sequences (some 1,024 tokens) at a time. The observer gets the panels of a
// tensor in the order of the tokens. Results do not depend on the number of threads.
class GradientModel {
 public:
  // Input errors as load_transformer and load_encoder have them. `file` must outlive this.
  GradientModel(const TensorFile& file, const std::filesystem::path& scratch_folder, bool keep_weights);
  ~GradientModel();
  const ModelConfig& config() const;
  const std::string& head_tensor() const;  // that of the embeddings if they are tied; encoders: empty
  const std::string& embedding_tensor() const;
  // Other values for a norm weight, norm bias or bias.
  void set_vector(const std::string& tensor, std::vector<float> values);
  // Rows of the weight of a linear layer times these factors, instead of earlier ones; not of a head. Usage error
  // unless there is such a weight, with these rows as outputs.
  void set_row_factors(const std::string& tensor, std::vector<float> factors);
  // Each sequence from an empty context; returns the sum of the losses. Usage error for sequences longer than the model
  // takes, input error for tokens outside the vocabulary.
  double run(std::span<const std::vector<TokenId>> sequences, const LossFn& loss, GradientObserver& observer);
  // The same without gradients.
  double evaluate(std::span<const std::vector<TokenId>> sequences, const LossFn& loss);
  // Of causal models: states after the final norm of all tokens [tokens, dim], and their logits; the head stays in
  // memory then.
  void hidden(std::span<const std::vector<TokenId>> sequences, MatrixView<float> out);
  void logits(MatrixView<const float> hidden, MatrixView<float> out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace occ
