// Predicts the bytes and the errors of the tensors of a run and the size of the file, before the tensors are coded. If
// codes have a fixed length, the sizes follow from the shapes; otherwise a sample of the rows is coded. When a tensor
// was coded, its real size corrects later predictions.
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

// Some rows of a tensor, with the context for a fit to them.
struct TensorSample {
  Matrix<float> rows;
  FitContext context;
  std::shared_ptr<const void> owner;  // keeps alive what the context points to
  // The rms of all values over the rms of the sample. Steps are in units of the rms, and the sample may lack the rows
  // with the largest values.
  double scale = 1;
};

class SizeModel {
 public:
  // All arguments must outlive this object. The plan and the parts may change during its lifetime.
  SizeModel(const TensorFile& source, int effort, const std::vector<PlannedTensor>& plan, const FitContexts& contexts,
            const Parts& parts, const Join& join);

  // Returns the bytes of the blob of tensor k of the plan with its recipe. Thread-safe for different tensors.
  uint64_t predict(size_t k);
  // Does the same for all tensors of continuous rate, with all threads.
  void predict_all();
  // Returns the bytes of the file: real bytes for coded tensors, predicted bytes for the others.
  uint64_t file_bytes();
  // Returns the nmse over all float tensors, as in the report. Only after predict_all().
  double nmse() const;
  // Whether any size came from a sample, not from the shape.
  bool sampled() const { return sampled_; }

  // Returns a sample of about `elements` values of tensor k. The first call for a tensor reads all of its values, so
  // NaN and infinite values are found here.
  TensorSample sample(size_t k, size_t elements);
  // Returns the size of a sample for a tensor of this shape. It is a share of the tensor, so that prediction takes only
  // a fraction of the time of coding, even for large models.
  static size_t sample_elements(Shape shape);
  // The rough number of bits per weight that the run aims at. Fits of tensors that have no step yet use it.
  void set_target_bits(double bits) { target_bits_ = bits; }
  double target_bits() const { return target_bits_; }

  // Reports that tensor k took `bytes` bytes. Returns false if nothing was predicted for it.
  bool learn(size_t k, uint64_t bytes);
  // Corrects the prediction of tensor k by the same factor as those of the tensors that were reported last. Returns
  // false if there are none yet.
  bool correct_like_recent(size_t k);
  // Predicts tensor k again, because its second moments have changed. It is known that it took `bytes` bytes.
  void predict_again(size_t k, uint64_t bytes);
  // Returns the estimate for tensor k if the step of its recipe were longer by `octaves`.
  Estimate at_longer_step(size_t k, double octaves) const;
  // Uses `estimate` as the prediction of tensor k with its recipe, which must be new.
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
  double drift_ = 0, drift_weight_ = 0;  // exponentially weighted sum of the recent corrections, and of their weights
  std::atomic<bool> sampled_ = false;    // atomic because several threads make predictions
  std::vector<double> energies_;         // [plan] sums of squares of the tensors; negative: not known yet
  std::vector<double> corrections_;      // [plan] ratios of real to predicted bytes
  std::vector<std::unordered_map<std::string, Estimate>> seen_;  // [plan] estimates by recipe
  // [plan] estimates from coded samples, by log2 of the step.
  std::vector<std::map<double, Estimate>> by_step_;
};

}  // namespace occ
