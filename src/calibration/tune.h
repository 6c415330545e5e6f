// Fine-tuning of a compressed model: norm weights, norm biases, biases and row scales are changed so that the model's
// predictions come closer to those of the original model.
//
// These numbers are few, archives keep them as floats, and they scale the inputs and outputs of every linear layer, so
// that part of the errors of the codes can be undone there. Adam (Kingma & Ba 2015) minimises KL(original ||
// compressed), the mean over tokens. Its steps are relative to the size of each vector, or steps of the logarithm of a
// row's factor, and fall to zero. The noise of the steps costs in proportion to the square of the distance moved, their
// gain grows in proportion to the distance: so held-out sequences decide whether all of the distance, a half or a
// quarter is kept, or nothing.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compress/calibration_source.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct TuneOptions {
  size_t epochs = 1;
  size_t batch_tokens = 512;  // a step takes whole sequences until there are that many tokens
  // Learning rate of the first step: change of the logarithm of a factor, or in units of the vector's root mean square.
  double rate = 0.012;
  std::set<std::string> scaled;  // linear layers whose rows may have factors
  size_t held_out = 8;           // one of so many sequences
  bool keep_weights = true;      // of the compressed model, as floats in memory; otherwise steps are slower
  std::function<void(size_t step, size_t steps, double kl)> progress;  // KL of the step's batch
};

struct TuneResult {
  TunedValues values;                  // empty if no values are better than those that the model has
  double kl_before = 0, kl_after = 0;  // per token of the held-out sequences, nats
  size_t steps = 0;
};

// Usage error if there are fewer than two sequences or if the models do not have the same vocabulary.
TuneResult tune_model(const TensorFile& compressed, const TensorFile& reference,
                      std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& scratch_folder,
                      const TuneOptions& options = {});

}  // namespace occ
