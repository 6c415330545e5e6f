// Rates of the tensors that have a method: recipes for the next attempt, and whether its result is close enough to what
// was asked for. Tensors of continuous rate share one step (common_step.h), others are split between two code widths
// (fixed_width.h). Sizes are predicted (size_model.h); what an attempt shows to be wrong with them corrects the next.
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
  // All of them must outlive this. Usage error if options and methods of the plan do not go together.
  RateControl(const TensorFile& source, const CompressOptions& options, std::vector<PlannedTensor>& plan,
              const FitContexts& contexts, const Parts& parts, const Join& join);

  // Fills in the recipes for the first or the next attempt. Usage error if the rate is out of reach.
  void set_recipes();
  // Tensor k of the plan was coded in so many bytes.
  void learn(size_t k, uint64_t bytes);
  // While a first attempt codes one tensor after the other and what is known of those of `open` (places in the plan,
  // the last ones) changes with those before: another step for them if the file would miss its target.
  void steer(std::span<const size_t> open);
  // After an attempt: the nmse over all tensors, the file is as large as sizes() say. False: set_recipes() and code
  // again.
  bool accept(double nmse);

  SizeModel& sizes() { return sizes_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  bool has_continuous() const;
  bool has_fixed_width() const;
  void set_first_recipes();
  void set_ceiling();
  void choose_all_coordinates();
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
  SizeModel sizes_;
  CommonStep step_;
  std::vector<std::string> notes_;
  std::optional<uint64_t> ceiling_;  // of the file
  uint64_t target_ = 0;              // below the ceiling
  double first_step_ = 0;            // that the first attempt began with
  int attempt_ = 0;
  // The attempt that came closest to the target from below, and how far it came (bytes or nmse).
  struct Best {
    std::vector<std::pair<std::string, double>> recipes;  // and their steps, which damping depends on
    double measure = 0;
  };
  std::optional<Best> best_;
  bool restoring_ = false;                            // the next attempt is that one again
  double margin_ = 0;                                 // bytes by which predictions were too low
  std::optional<double> small_step_, large_step_;     // that gave less and more than the nmse asked for
  std::vector<std::pair<size_t, uint64_t>> steered_;  // calibrated tensors in the order they were coded in, and bytes
};

}  // namespace occ
