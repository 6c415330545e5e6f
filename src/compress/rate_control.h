// Rates of the tensors that have a method: recipes for the next attempt, predictions of their bytes, and whether the
// result is close enough to what was asked for.
//
// Methods of continuous rate share one Lagrangian. The loss is the sum over tensors of sensitivity * weights * nmse,
// the nmse of an entropy-coded quantizer is proportional to its squared step (in units of the rms), and a bit less per
// weight costs every tensor the same loss when step_t = c / sqrt(sensitivity_t): one c for all, searched so that the
// predicted file meets the target. Sensitivities are relative (1 unless given) because errors of different tensors have
// different units. Predictions come from coded samples; what a coded attempt shows to be wrong with them corrects the
// next one.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compress/estimate.h"
#include "compress/plan.h"

namespace occ {

// A coded tensor as the control sees it.
struct CodedSize {
  std::string recipe;
  uint64_t bytes = 0;
};

class RateControl {
 public:
  using Where = std::function<std::string(size_t tensor)>;  // for messages
  // For fits of a tensor; what it points to lives as long as the second member.
  using Context = std::function<std::pair<FitContext, std::shared_ptr<const void>>(const PlannedTensor&)>;
  struct Energy {
    double errors = 0, squares = 0;
  };
  using FixedEnergy = std::function<Energy()>;  // of the tensors whose rate is not controlled
  RateControl(const TensorFile& source, const CompressOptions& options, std::vector<PlannedTensor>& plan,
              FileSize file_size, Where where, Context context, FixedEnergy fixed_energy);

  // Fills in the recipes for the first or the next attempt. Usage error if the rate is out of reach.
  void plan();
  // Predicted blob bytes of tensor k of the plan with its recipe.
  uint64_t predict(size_t k);
  // What became of tensor k; improves later predictions.
  void learn(size_t k, uint64_t bytes);
  // While a first attempt codes one tensor after the other and what is known of those of `open` (places in the plan,
  // the last ones) changes with those before: another step for them if the file would miss its target.
  void steer(std::span<const size_t> open);
  // After an attempt: the whole file, and its nmse over all tensors. False: plan() and code again.
  bool accept(uint64_t file_bytes, double nmse);
  // Bits per weight aimed at, roughly; known from the first plan() on.
  double target_bits() const { return target_bits_; }
  // Sizes come from samples, not from shapes.
  bool estimated() const { return estimated_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  bool has(bool continuous) const;
  bool accept_nmse(double nmse);
  bool accept_bytes(double size);
  bool give_up(const std::string& why_not);
  void remember(double measure);
  std::optional<Estimate> between(size_t k) const;
  double sample_scale(size_t k, MatrixView<const float> sample, std::span<const double> row_weights);
  std::string recipe_at(const PlannedTensor& t, double scale) const;
  void set_ceiling();
  void read_sensitivities();
  void choose_all_coordinates();
  void set_step(double step, bool all);
  void set_step_of(size_t k, double step);
  void estimate_all();
  double predicted_nmse();
  void seek_bytes(uint64_t target, bool all);
  void seek_nmse(double target);
  void choose_adjusted(double difference);
  void estimate_again(size_t k, uint64_t bytes);
  size_t sample_elements(const PlannedTensor& t) const;

  const TensorFile& source_;
  const CompressOptions& options_;
  std::vector<PlannedTensor>& plan_;
  const FileSize file_size_;
  const Where where_;
  const Context context_;
  const FixedEnergy fixed_energy_;
  std::vector<std::string> notes_;
  std::optional<uint64_t> ceiling_;  // of the file
  uint64_t target_ = 0;              // below the ceiling
  double target_bits_ = 4;
  double step_ = 0;                      // c
  double drift_ = 0, drift_weight_ = 0;  // recent actual over estimated bytes: sum and weight
  double planned_step_ = 0;              // that the first attempt began with
  int attempt_ = 0;
  std::vector<double> energies_;         // sums of squares by tensor; negative: not known yet
  std::atomic<bool> estimated_ = false;  // predictions are made by several threads
  // The attempt that came closest to the target from below, and how far it came (bytes or nmse).
  struct Best {
    std::vector<std::pair<std::string, double>> recipes;  // and their steps, which damping depends on
    double measure = 0;
  };
  std::optional<Best> best_;
  bool restoring_ = false;                                       // the next attempt is that one again
  double margin_ = 0;                                            // bytes by which predictions were too low
  std::optional<double> small_step_, large_step_;                // that gave less and more than the nmse asked for
  std::vector<double> corrections_;                              // actual over estimated bytes
  std::vector<std::pair<size_t, uint64_t>> steered_;             // tensors in the order they were coded in, and bytes
  std::vector<bool> adjusted_;                                   // tensors whose step may change in this attempt
  std::vector<std::unordered_map<std::string, Estimate>> seen_;  // by tensor and recipe
  std::vector<std::map<double, Estimate>> by_step_;              // of samples that were coded, by log2 of the step
};

}  // namespace occ
