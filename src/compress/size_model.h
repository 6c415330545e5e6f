// What the tensors of a run will take and err, and the size of the file that they make, before they are coded. Sizes
// follow from shapes where codes have a fixed length; otherwise a sample of the rows is coded. What coded tensors show
// to be wrong with that corrects what is predicted later.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compress/estimate.h"
#include "compress/fit_contexts.h"
#include "compress/join.h"
#include "compress/part_store.h"
#include "compress/plan.h"

namespace occ {

// Rows of a tensor, with what a fit to them is given.
struct TensorSample {
  Matrix<float> rows;
  FitContext context;
  std::shared_ptr<const void> owner;  // of what the context points to
  // Steps are in units of the rms, and a sample may lack the row that has most of it: rms of all values over that of
  // the sample.
  double scale = 1;
};

class SizeModel {
 public:
  // All of them must outlive this; the plan and the parts change while it lives.
  SizeModel(const TensorFile& source, int effort, const std::vector<PlannedTensor>& plan, const FitContexts& contexts,
            const Parts& parts, const Join& join);

  // Blob bytes of tensor k of the plan with its recipe. Thread-safe for different tensors.
  uint64_t predict(size_t k);
  // The same at once for all tensors of continuous rate.
  void predict_all();
  // The file: coded tensors count as they are, others as predicted.
  uint64_t file_bytes();
  // Of all float tensors together, as the report has it. After predict_all().
  double nmse() const;
  // Whether any size came from a sample, not from the shape.
  bool sampled() const { return sampled_; }

  // About `elements` values of tensor k. The first call reads all values, so NaN and infinities are found here.
  TensorSample sample(size_t k, size_t elements);
  // A share of every tensor, so that large models take a fraction of what coding takes.
  static size_t sample_elements(Shape shape);
  // Bits per weight that the run aims at, roughly, for fits of tensors that have no step yet.
  void set_target_bits(double bits) { target_bits_ = bits; }
  double target_bits() const { return target_bits_; }

  // Tensor k took `bytes`. False if nothing was predicted of it.
  bool learn(size_t k, uint64_t bytes);
  // Corrects the prediction of tensor k like those of the tensors that were learned last. False while there are none.
  bool correct_like_recent(size_t k);
  // Predicts tensor k anew, of which it is known that it took `bytes`: before, it was fitted to other moments.
  void predict_again(size_t k, uint64_t bytes);
  // What tensor k, predicted with its recipe, would be with steps that are so much longer.
  Estimate at_longer_step(size_t k, double octaves) const;
  // Takes that for the prediction of tensor k with its recipe, which is a new one.
  void assume(size_t k, const Estimate& estimate) { seen_[k].try_emplace(plan_[k].recipe, estimate); }

 private:
  std::optional<Estimate> between(size_t k) const;
  Estimate code_sample(size_t k);

  const TensorFile& source_;
  const int effort_;
  const std::vector<PlannedTensor>& plan_;
  const FitContexts& contexts_;
  const Parts& parts_;
  const Join& join_;
  double target_bits_ = 4;
  double drift_ = 0, drift_weight_ = 0;                          // recent actual over predicted bytes: sum and weight
  std::atomic<bool> sampled_ = false;                            // predictions are made by several threads
  std::vector<double> energies_;                                 // sums of squares by tensor; negative: not known yet
  std::vector<double> corrections_;                              // actual over predicted bytes
  std::vector<std::unordered_map<std::string, Estimate>> seen_;  // by tensor and recipe
  std::vector<std::map<double, Estimate>> by_step_;              // of samples that were coded, by log2 of the step
};

}  // namespace occ
