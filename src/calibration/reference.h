// Measures how far the predictions of a model are from those of the original model.
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

// Predictions of the original causal model for all tokens of some sequences. Its final hidden states are kept in a
// scratch file; logits are computed when they are needed.
class ReferencePredictions {
 public:
  // `model` and `sequences` must outlive this object.
  ReferencePredictions(GradientModel& model, const Sequences& sequences, const std::filesystem::path& scratch_folder);
  // Returns the sum of KL(original || logits) over tokens [first, first + rows), in nats. Replaces `logits` by its
  // gradient.
  double loss(size_t first, MatrixView<float> logits);
  // Returns the mean KL of another model over all tokens, in nats.
  double mean_kl(GradientModel& other, const LayerInputs& start = {});

 private:
  GradientModel& model_;
  const Sequences& sequences_;
  ScratchMatrix hidden_;
  Matrix<float> truth_;
};

// Returns the mean over tokens of KL(original || coded) in nats; for encoders, the mean over texts of 1 - cosine of the
// embeddings. There must be at least one sequence.
double divergence(const TensorFile& coded, const TensorFile& original, const Sequences& sequences,
                  const std::filesystem::path& scratch_folder);

// Measures how much less likely the tokens of a text are to a causal model than the tokens it expects: the mean over
// tokens of -log p(token) minus the entropy of p, in nats. About 0 for texts like those the model was trained on.
double surprise(const TensorFile& original, const Sequences& sequences, const std::filesystem::path& scratch_folder);

// Lets a causal model write sequences. Sequence i begins with the tokens beginnings[i], at least one; more tokens are
// drawn from the model's predictions (temperature 1, seed + i) until it has `length` tokens. The result does not depend
// on the number of threads. progress(done, total) counts sequences.
Sequences sample_sequences(const TensorFile& original, Sequences beginnings, size_t length, uint64_t seed,
                           const std::function<void(size_t, size_t)>& progress = {});

}  // namespace occ
