// One step for all tensors of continuous rate. The loss is the sum over tensors of sensitivity * weights * nmse, the
// nmse of an entropy-coded quantizer is proportional to its squared step (in units of the rms), and a bit less per
// weight costs every tensor the same loss when step_t = c / sqrt(sensitivity_t). Here c is searched, so that the
// predicted file has the size or the error asked for. Sensitivities are relative (1 unless given) because errors of
// different tensors have different units.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/plan.h"
#include "compress/size_model.h"

namespace occ {

class CommonStep {
 public:
  // Both must outlive this.
  CommonStep(std::vector<PlannedTensor>& plan, SizeModel& sizes, int effort);

  double value() const { return step_; }
  // Where a search begins. Recipes stay as they are.
  void start_from(double step) { step_ = step; }
  // Gives all tensors of continuous rate, or those that may be adjusted, their recipes at this step.
  void set(double step, bool all);
  // Another step for these tensors (places in the plan), with what is predicted of them by rule of thumb.
  void lengthen(std::span<const size_t> tensors, double octaves);
  // The step at which the predicted file comes closest to `target` bytes from below, within `tolerance`. Without `all`
  // only tensors that may be adjusted get another step, as long as that is enough. If no step is long enough: false,
  // and the longest is set.
  bool seek_bytes(double target, double tolerance, bool all);
  // The same for the predicted nmse of the whole file; the shortest step if none is short enough.
  void seek_nmse(double target);

  // Tensors that may be adjusted from now on: of `order` (places in the plan) as many as it takes to make up for
  // `difference` bytes with a small change of their rates.
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
