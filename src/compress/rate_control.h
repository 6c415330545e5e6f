// Controls the rates of the tensors that have a method. It chooses the recipes for the next attempt and decides whether
// the result of an attempt is close enough to what was asked for. Tensors of continuous rate share one step
// (common_step.h); the rows of other tensors are split between two code widths (fixed_width.h). Sizes are predicted
// (size_model.h), and the errors of the predictions in one attempt correct those of the next.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compress/common_step.h"
#include "compress/plan.h"
#include "compress/size_model.h"

namespace occ {

class RateControl {
 public:
  // All arguments must outlive this object. Usage error if the methods of the plan do not suit the options.
  RateControl(const TensorFile& source, const CompressOptions& options, std::vector<PlannedTensor>& plan,
              const FitContexts& contexts, const Parts& parts, const Join& join);

  // Usage error for what is known to be impossible before anything is measured: a code width that a method lacks, or a
  // size that is too small for what is kept as it is.
  void check();
  // Sets the recipes for the first or the next attempt. Usage error if the rate cannot be reached.
  void set_recipes();
  // Reports that tensor k of the plan was coded in `bytes` bytes.
  void learn(size_t k, uint64_t bytes);
  // Used while a first attempt with a calibration codes one tensor after the other. `open` are the tensors that are not
  // coded yet (places in the plan). Gives them another step if the file would otherwise miss its target.
  void steer(std::span<const size_t> open);
  // Called after an attempt with the nmse over all tensors; the size of the file comes from sizes(). Returns false if
  // another attempt is needed: set_recipes() must be called, and the tensors must be coded again.
  bool accept(double nmse);

  SizeModel& sizes() { return sizes_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  bool has_continuous() const;
  bool has_fixed_width() const;
  void set_first_recipes();
  void set_ceiling();
  void choose_all_coordinates();
  void choose_all_forms();
  void seek_bytes(bool all);
  void choose_adjusted(double difference);
  bool accept_nmse(double nmse);
  bool accept_bytes(double size);
  void remember(double measure);
  void restore_best();
  bool give_up(const std::string& why_not);

  const TensorFile& source_;
  const CompressOptions& options_;
  std::vector<PlannedTensor>& plan_;
  const Join& join_;
  SizeModel sizes_;
  CommonStep step_;
  std::vector<std::string> notes_;
  std::optional<uint64_t> ceiling_;  // most bytes of the file
  uint64_t target_ = 0;              // bytes that are aimed at, below the ceiling
  double first_step_ = 0;            // the step with which the first attempt began
  int attempt_ = 0;
  // The attempt that came closest to the target from below, and its result in bytes or nmse.
  struct Best {
    std::vector<std::pair<std::string, double>> recipes;  // with their steps, on which the damping depends
    double measure = 0;
  };
  std::optional<Best> best_;
  bool restoring_ = false;                            // the next attempt repeats the best one
  double margin_ = 0;                                 // by how many bytes predictions were too low
  std::optional<double> small_step_, large_step_;     // steps with a smaller and with a larger nmse than asked for
  std::vector<std::pair<size_t, uint64_t>> steered_;  // calibrated tensors in coding order, and their bytes
};

}  // namespace occ
