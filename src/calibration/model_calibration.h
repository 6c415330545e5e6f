// Calibration of a whole model while it is compressed: second moments of the inputs of every linear layer, from the
// model as it was to plan with, and from the compressed prefix to code with; corrections for what the prefix lost.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "calibration/fisher.h"
#include "calibration/metric_sum.h"
#include "calibration/prefix.h"
#include "compress/calibration_source.h"

namespace occ {

struct CalibrationSettings {
  size_t plan_sequences = 16;  // of those for the moments to plan with
  // To tune vectors on when all is coded: sequences that are not calibrated with, on which errors are smaller than they
  // are elsewhere. Fewer than two: vectors are left as they are.
  std::vector<std::vector<TokenId>> tune_sequences;
  bool cache = false;                  // what errors cost is kept for other runs (base/cache.h)
  std::vector<uint64_t> token_counts;  // of the whole text, by token; empty: those of the sequences
  std::function<void(const char* phase, uint64_t done, uint64_t total)> progress;
};

class ModelCalibration final : public CalibrationSource {
 public:
  // `what` names the text and how it was cut, for --resume. Scratch files go to `folder`.
  ModelCalibration(const TensorFile& source, std::vector<std::vector<TokenId>> sequences, std::string what,
                   const std::filesystem::path& folder, CalibrationSettings settings);
  ~ModelCalibration() override;

  std::string describe() const override { return what_; }
  std::vector<std::string> order() const override;
  void reach(const std::string& tensor, const TensorFile& coded) override;
  std::shared_ptr<const TensorCalibration> find(const std::string& tensor) const override;
  TunedValues tune(const TensorFile& coded, const std::set<std::string>& scaled,
                   std::vector<std::string>* notes) override;

 private:
  // Linear layers with the same inputs.
  struct Stage {
    std::vector<std::string> tensors;
    std::vector<size_t> metrics;
  };
  // Moments of the inputs as they count for some linear layers of a stage.
  struct Metric;
  // What errors of the rows of a tensor cost.
  struct Importance {
    std::shared_ptr<const RowCosts> rows, fed_rows;
    ScratchMatrix gains;  // of fed_rows
  };
  void plan();
  void name_stages(Prefix& prefix);
  bool of_experts(size_t stage) const;
  void sum_moments(Prefix& prefix, size_t s, bool plan, bool crossed,
                   const std::function<void(Metric&, MetricSum)>& finish);
  void plan_moments(Prefix& prefix);
  void measure_importance(std::span<const std::vector<TokenId>> sequences);
  Fisher measure_gradients(std::span<const std::vector<TokenId>> sequences) const;
  void weigh_rare_experts();
  void weigh_tables();
  std::vector<double> lookups(const std::string& tensor) const;
  void join_embeddings(const std::string& tensor, MatrixView<double> h);
  void weigh(const std::string& tensor, std::vector<double> rows, size_t cols);
  void feed_rows(const TensorFisher& fisher, Importance& to) const;
  std::vector<float> token_roots(const Metric& metric, bool plan) const;
  void run_stage(size_t s);
  void store(Metric& metric, Matrix<double> h, Matrix<float> correction);

  const TensorFile& source_;
  const std::vector<std::vector<TokenId>> sequences_;
  const std::string what_;
  const std::filesystem::path folder_;
  const CalibrationSettings settings_;
  const ModelConfig config_;
  std::map<std::string, size_t> metric_of_;
  std::map<std::string, Importance> importance_;
  Fisher fisher_;
  std::vector<std::string> tables_;  // that rows are looked up in, coded before all others
  std::vector<Stage> stages_;
  std::vector<Metric> metrics_;
  std::set<std::string> by_token_,
      by_row_;                            // tensors whose gradients are looked at token by token, and for correlations
  std::vector<size_t> planned_;           // sequences that the model was planned with
  std::optional<Prefix> before_, after_;  // as it was, and as it is coded
  ScratchMatrix inputs_;                  // of `before_`, [tokens, in]
  size_t next_ = 0;                       // stage to be run
  size_t rare_ = 0;                       // metrics of experts with fewer tokens than inputs
  std::vector<std::string> notes_;
};

}  // namespace occ
