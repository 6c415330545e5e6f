// Second moments of the inputs of every linear layer. First those in the original model, to plan with; then, part by
// part while the model is coded, those in the compressed model, with corrections for the errors of earlier parts.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "calibration/importance.h"
#include "calibration/layer_part.h"
#include "calibration/moment_sum.h"
#include "calibration/prefix.h"
#include "calibration/suffix_tuning.h"
#include "compress/calibration_source.h"
#include "tensor/scratch_matrix.h"

namespace occ {

class InputMoments {
 public:
  // `tuning` tunes weights before they are coded; it may be null. All arguments must outlive this object. Scratch files
  // go to `folder`.
  InputMoments(const TensorFile& source, const ModelConfig& config, const std::vector<ModelPart>& parts,
               std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& folder,
               SuffixTuning* tuning);
  ~InputMoments();

  // Runs a part of the sequences through the original model: those with the numbers `planned` (ascending), on which
  // `importance` was measured. `progress` may be empty.
  void plan(Importance& importance, std::span<const size_t> planned,
            const std::function<void(size_t parts, size_t total)>& progress);
  // Runs all sequences through the tensors that are already coded, up to the inputs of `tensor`.
  void reach(const std::string& tensor, const TensorFile& coded);
  // Sets moments, correction and note of `out` if the tensor has second moments. Returns whether it has.
  bool find(const std::string& tensor, TensorCalibration* out) const;
  // Frees the activations, which are no longer needed.
  void release();
  // Notes for the report about fallbacks.
  std::vector<std::string> notes() const;

 private:
  // Linear layers that share their second moments. These are kept in scratch files and read when they are used.
  struct Group;
  void make_groups();
  std::vector<float> token_roots(const Group& group, bool planned_only) const;
  void sum_moments(Prefix& prefix, size_t part, bool planned_only, bool crossed,
                   const std::function<void(Group&, MomentSum)>& finish);
  void run_part(size_t part);
  void store(Group& group, MatrixView<const double> h, MatrixView<const float> correction);

  const TensorFile& source_;
  const ModelConfig& config_;
  const std::vector<ModelPart>& parts_;
  const std::span<const std::vector<TokenId>> sequences_;
  const std::filesystem::path& folder_;
  SuffixTuning* const tuning_;
  const TensorFile* coded_ = nullptr;
  std::vector<Group> groups_;                      // in the order of the parts
  std::vector<std::vector<size_t>> groups_of_;     // [parts] indices into groups_
  std::map<std::string, size_t> group_of_tensor_;  // tensor name to index into groups_; only tensors with moments
  std::vector<size_t> planned_;
  std::optional<Prefix> original_, compressed_;
  ScratchMatrix original_inputs_;  // [tokens, in] inputs of the current part in the original model
  size_t next_ = 0;                // index of the part to be run next
  size_t rare_ = 0;                // number of groups of experts that got fewer tokens than they have inputs
  std::vector<std::string> notes_;
};

}  // namespace occ
