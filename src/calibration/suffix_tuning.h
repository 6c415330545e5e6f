// Tuning of the weights that are not coded yet: when the layers before a layer are coded, the weights from it on are
// moved towards what makes the predictions best with the states that these layers now hand on. They are coded as they
// are then. So what one layer loses the later ones make up for, by all of their weights and not only by the linear map of
// their inputs that calibration/prefix.h speaks of. (QuIP#, arXiv 2402.04396, section 5, and AQLM, 2401.06118, tune what
// is left of a layer or of the model in this way.)
//
// Adam minimises KL(original || model) from the states of the first layer that is not coded, which are kept for all
// sequences. Its steps are relative to the root mean square of each tensor and fall to zero. Sequences that are held out
// decide whether all of the way, a half of it or nothing is kept, and by that the rate of the next tuning: 1.5 times, a
// half or a quarter of this one.
//
// Memory: 16 bytes for every weight of the layers. Cost: four passes through the layers that are left for every token.
// Causal models without experts, whose files have weights as [out, in].
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
  size_t every = 1;           // layers from one tuning to the next
  size_t epochs = 2;          // of the sequences, every time
  size_t batch_tokens = 512;  // a step takes whole sequences until there are that many tokens
  double rate = 3e-3;         // of the first step, in units of the root mean square of a tensor
  size_t held_out = 8;        // one of so many sequences
  std::function<void(size_t step, size_t steps)> progress = {};  // may be empty
};

class SuffixTuning {
 public:
  // Whether a model can be tuned so, with the memory that is allowed for it. Otherwise nothing else may be called.
  static bool is_possible(const TensorFile& source, const ModelConfig& config);

  // All arguments must outlive this. At least two sequences. Scratch files go to `folder`.
  SuffixTuning(const TensorFile& source, const ModelConfig& config, std::span<const std::vector<TokenId>> sequences,
               const std::filesystem::path& folder, const SuffixTuningOptions& options);
  ~SuffixTuning();

  // Only these tensors are tuned: the others are not coded, or are coded already.
  void start(const std::set<std::string>& tensors);
  // To be called for all layers in order, when those before are coded. `coded` has their decoded values and must be the
  // same file every time. Returns whether weights from this layer on have changed.
  bool reach(size_t layer, const TensorFile& coded);
  bool has(const std::string& tensor) const;  // whether its values are not those of the source
  // The values of a tensor where they are not those of the source, otherwise an empty matrix.
  Matrix<float> find(const std::string& tensor) const;
  // The source with the tuned values.
  const TensorFile& tuned() const;
  // Frees the memory. Nothing may be called any more but notes().
  void release();
  std::vector<std::string> notes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::vector<std::string> notes_;
};

}  // namespace occ
