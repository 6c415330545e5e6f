// Tunes the weights that are not coded yet. When the layers before a layer are coded, all weights from this layer on
// are moved such that the predictions become best for the states that the coded layers now produce. The tuned weights
// are then coded. So later layers make up for the errors of earlier ones with all their weights, not only with the
// linear map of their inputs (calibration/moment_sum.h). QuIP# (arXiv 2402.04396, section 5) and AQLM (2401.06118) tune
// the rest of a layer or of the model in this way.
//
// Adam minimises KL(original || model), starting from the states at the first layer that is not coded. These are kept
// for all sequences. Its steps are relative to the root mean square of each tensor and fall to zero. Held-out sequences
// decide whether the whole change, half of it or nothing is kept. That also sets the learning rate of the next tuning:
// 1.5 times, a half or a quarter of this one.
//
// Memory: 16 bytes for every weight of the layers. Cost: four passes of every token through the remaining layers. Only
// for causal models without experts whose files store weights as [out, in].
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct SuffixTuningOptions {
  size_t every = 1;           // number of layers from one tuning to the next
  size_t epochs = 2;          // number of passes over the sequences in each tuning
  size_t batch_tokens = 512;  // a step takes whole sequences until it has this many tokens
  double rate = 3e-3;         // learning rate of the first step, in units of the root mean square of a tensor
  size_t held_out = 8;        // one of this many sequences is held out
  std::function<void(size_t step, size_t steps)> progress = {};  // may be empty
};

class SuffixTuning {
 public:
  // Whether a model can be tuned in this way within the memory limit. If not, no other function may be called.
  static bool is_possible(const TensorFile& source, const ModelConfig& config);

  // All arguments must outlive this object. There must be at least two sequences. Scratch files go to `folder`.
  SuffixTuning(const TensorFile& source, const ModelConfig& config, std::span<const std::vector<TokenId>> sequences,
               const std::filesystem::path& folder, const SuffixTuningOptions& options);
  ~SuffixTuning();

  // Sets the tensors that may be tuned. All others are kept uncoded, or are coded already.
  void start(const std::set<std::string>& tensors);
  // Must be called for every layer in order, when the layers before it are coded. `coded` has their decoded values and
  // must be the same file in every call. Returns whether weights of this layer or of later ones have changed.
  bool reach(size_t layer, const TensorFile& coded);
  bool has(const std::string& tensor) const;  // whether the tensor has tuned values
  // Returns the tuned values of a tensor, or an empty matrix if it has none.
  Matrix<float> find(const std::string& tensor) const;
  // Returns the source with the tuned values in place of its own.
  const TensorFile& tuned() const;
  // Frees the memory. After that only notes() may be called.
  void release();
  std::vector<std::string> notes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::vector<std::string> notes_;
};

}  // namespace occ
