// One common step for all tensors of continuous rate. The loss is the sum of sensitivity * weights * nmse over the
// tensors, where `weights` is the number of weights. The nmse of an entropy-coded quantizer is proportional to its
// squared step (in units of the rms). The loss is least for a given number of bits if step_t = c / sqrt(sensitivity_t):
// then saving one bit costs the same loss in every tensor. This class searches c such that the predicted file has the
// size or the error that was asked for. Sensitivities are relative (1 unless given), because errors of different
// tensors have different units.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/plan.h"
#include "compress/size_model.h"

namespace occ {

class CommonStep {
 public:
  // `plan` and `sizes` must outlive this object.
  CommonStep(std::vector<PlannedTensor>& plan, SizeModel& sizes, int effort);

  double value() const { return step_; }
  // Sets the step at which a search begins. It does not change recipes.
  void start_from(double step) { step_ = step; }
  // Sets the recipes of all tensors of continuous rate to this step; without `all` only of those that may be adjusted.
  void set(double step, bool all);
  // Makes the step of these tensors (places in the plan) longer by `octaves`. Their predicted sizes and errors
  // follow from a simple rule (SizeModel::at_longer_step), without coding a sample.
  void lengthen(std::span<const size_t> tensors, double octaves);
  // Sets the step at which the predicted file comes closest to `target` bytes from below, within `tolerance` bytes.
  // Without `all` only tensors that may be adjusted get another step, as long as that is enough. If no step is long
  // enough, sets the longest one and returns false.
  bool seek_bytes(double target, double tolerance, bool all);
  // The same for the predicted nmse of the whole file. If no step is short enough, sets the shortest one.
  void seek_nmse(double target);

  // Chooses the tensors that may be adjusted from now on. It takes them from the beginning of `order` (places in the
  // plan), until a small change of their rates can make up for `difference` bytes.
  void choose_adjusted(std::span<const size_t> order, double difference);
  bool adjusts(size_t k) const { return adjusted_[k]; }

 private:
  void set_one(size_t k, double step);

  std::vector<PlannedTensor>& plan_;
  SizeModel& sizes_;
  const int effort_;
  double step_ = 0;
  std::vector<bool> adjusted_;
};

}  // namespace occ
