// Norm weights, norm biases, biases and the scales of rows of a compressed model, moved so that its predictions come
// closer to those of the model that it was made from.
//
// They are few, archives keep them as floats, and they scale what every linear layer gets and gives: part of the errors
// of codes can be taken back there. KL(reference || compressed), mean over tokens, is minimised by Adam (Kingma & Ba
// 2015) with steps relative to the size of each vector, and of logarithms of rows' factors, that fall to zero. Steps
// leave noise that costs by the square of the way that they went, where what they gain is linear in it: sequences that
// are held out decide whether all of the way, a half or a quarter of it is best, and whether it is better at all.
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
  size_t batch_tokens = 512;  // whole sequences until there are that many
  double rate = 0.012;  // of the first step: of logarithms of factors, or in units of the root mean square of a vector
  std::set<std::string> scaled;  // weights of linear layers whose rows may have factors
  size_t held_out = 8;           // one of so many sequences
  bool keep_weights = true;      // of the compressed model, as floats in memory; slower steps if not
  std::function<void(size_t step, size_t steps, double kl)> progress;  // KL of the step's batch
};

struct TuneResult {
  TunedValues values;                  // empty if they are no better
  double kl_before = 0, kl_after = 0;  // per token of the held-out sequences, nats
  size_t steps = 0;
};

// Usage error for fewer than two sequences and for models that do not have the same vocabulary.
TuneResult tune_model(const TensorFile& compressed, const TensorFile& reference,
                      std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& scratch_folder,
                      const TuneOptions& options = {});

}  // namespace occ
