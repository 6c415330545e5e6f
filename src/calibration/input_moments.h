// Second moments of the inputs of every linear layer: first those in the original model, to plan with; then, part by
// part while the model is coded, those in the compressed model, with corrections for what was lost before.
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
  // `tuning`: of weights that are not coded yet, or null. All arguments must outlive this. Scratch files go to `folder`.
  InputMoments(const TensorFile& source, const ModelConfig& config, const std::vector<ModelPart>& parts,
               std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& folder,
               SuffixTuning* tuning);
  ~InputMoments();

  // Runs the sequences with the numbers `planned` (growing), those that `importance` was measured on, through the
  // original model. `progress` may be empty.
  void plan(Importance& importance, std::span<const size_t> planned,
            const std::function<void(size_t parts, size_t total)>& progress);
  // Runs all sequences through the tensors that are coded already, up to the inputs of `tensor`.
  void reach(const std::string& tensor, const TensorFile& coded);
  // Sets moments, correction and note of `out` if there are moments for this tensor.
  bool find(const std::string& tensor, TensorCalibration* out) const;
  // Activations are no longer needed.
  void release();
  // What was found out of the ordinary.
  std::vector<std::string> notes() const;

 private:
  // Linear layers with the same moments. They lie in scratch files until they are asked for.
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
  std::vector<std::vector<size_t>> groups_of_;     // of every part: numbers in groups_
  std::map<std::string, size_t> group_of_tensor_;  // only of tensors that have moments
  std::vector<size_t> planned_;
  std::optional<Prefix> original_, compressed_;
  ScratchMatrix original_inputs_;  // of the current part [tokens, in]
  size_t next_ = 0;                // part to be run
  size_t rare_ = 0;                // groups of experts with fewer tokens than inputs
  std::vector<std::string> notes_;
};

}  // namespace occ
