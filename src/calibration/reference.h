// How far the predictions of a model are from those of the original model.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "calibration/gradients.h"
#include "occ/matrix.h"
#include "tensor/scratch_matrix.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

using Sequences = std::vector<std::vector<TokenId>>;

size_t tokens_of(const Sequences& sequences);

// Predictions of the original causal model for all tokens of some sequences. Its last hidden states are kept in a scratch
// file, its logits are computed when they are needed.
class ReferencePredictions {
 public:
  // `model` and `sequences` must outlive this.
  ReferencePredictions(GradientModel& model, const Sequences& sequences, const std::filesystem::path& scratch_folder);
  // Sum of KL(original || logits) over tokens [first, first + rows), in nats. Replaces `logits` by its gradient.
  double loss(size_t first, MatrixView<float> logits);
  // Mean over all tokens, for another model.
  double mean_kl(GradientModel& other, const LayerInputs& start = {});

 private:
  GradientModel& model_;
  const Sequences& sequences_;
  ScratchMatrix hidden_;
  Matrix<float> truth_;
};

// Mean over tokens of KL(original || coded) in nats; of encoders, mean over texts of 1 - cosine of the embeddings.
// Sequences must not be empty.
double divergence(const TensorFile& coded, const TensorFile& original, const Sequences& sequences,
                  const std::filesystem::path& scratch_folder);

// How much less likely a causal model finds the tokens of a text than those that it expects there: the mean over tokens
// of -log p(token) minus the entropy of p, in nats. About 0 for texts like those that the model was trained on.
double surprise(const TensorFile& original, const Sequences& sequences, const std::filesystem::path& scratch_folder);

// Sequences that a causal model itself writes: sequence i begins with the tokens beginnings[i], which are at least one,
// and more tokens are drawn from the model's predictions (temperature 1, seed + i) until it has `length` tokens. The same
// for the same beginnings and seed, at every number of threads. progress(done, total) is told of sequences.
Sequences sample_sequences(const TensorFile& original, Sequences beginnings, size_t length, uint64_t seed,
                           const std::function<void(size_t, size_t)>& progress = {});

}  // namespace occ
