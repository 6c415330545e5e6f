// Fine-tuning of a compressed model: norm weights, norm biases, biases and row scales are changed so that the model's
// predictions come closer to those of the original model.
//
// These numbers are few, archives keep them as floats, and they scale the inputs and outputs of every linear layer, so
// that part of the errors of the codes can be undone there. Adam (Kingma & Ba 2015) minimises KL(original ||
// compressed), the mean over tokens. Its steps are relative to the size of each vector, or steps of the logarithm of a
// row's factor, and fall to zero. The steps are noisy: what the noise costs grows with the square of the distance
// moved, what the steps gain only in proportion to the distance. So held-out sequences decide whether the whole change,
// a half or a quarter of it is kept, or nothing.
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
  size_t batch_tokens = 512;  // a step takes whole sequences until it has this many tokens
  // Learning rate of the first step: the change of the logarithm of a row factor, or of a vector in units of its root
  // mean square.
  double rate = 0.012;
  std::set<std::string> scaled;  // linear layers whose rows may get factors
  std::set<std::string> fixed;   // vectors that are not tuned
  size_t held_out = 8;           // one of this many sequences is held out
  // Whether the weights of the compressed model are kept in memory as floats; otherwise steps are slower.
  bool keep_weights = true;
  // `kl` is the KL of the batch of this step.
  std::function<void(size_t step, size_t steps, double kl)> progress;
};

struct TuneResult {
  TunedValues values;                  // empty if no change was an improvement
  double kl_before = 0, kl_after = 0;  // mean KL per token of the held-out sequences, in nats
  size_t steps = 0;
};

// Usage error if there are fewer than two sequences or if the models do not have the same vocabulary.
TuneResult tune_model(const TensorFile& compressed, const TensorFile& reference,
                      std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& scratch_folder,
                      const TuneOptions& options = {});

}  // namespace occ
