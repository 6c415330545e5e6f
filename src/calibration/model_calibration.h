// Calibration of a whole model while it is compressed: importance of rows and second moments of inputs for every tensor
// that is about to be coded, and fine-tuning at the end.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "calibration/importance.h"
#include "calibration/input_moments.h"
#include "calibration/layer_part.h"
#include "calibration/suffix_tuning.h"
#include "compress/calibration_source.h"

namespace occ {

struct CalibrationSettings {
  size_t plan_sequences = 16;  // of the sequences, for what must be known before anything is coded
  // For the fine-tuning. They must not be among those calibrated with, on which errors are smaller than elsewhere.
  // Fewer than two: nothing is tuned.
  std::vector<std::vector<TokenId>> tune_sequences;
  // How often, at most, the weights that are not coded yet are tuned (suffix_tuning.h), evenly spread over the layers.
  size_t tune_places = 0;
  bool cache = false;                  // importance is kept for other runs (base/cache.h)
  std::vector<uint64_t> token_counts;  // of the whole text, by token; empty: unknown
  double least_table_row = 0.01;       // see ImportanceSettings
  std::function<void(const char* phase, uint64_t done, uint64_t total)> progress;
};

class ModelCalibration final : public CalibrationSource {
 public:
  // Plans with the original model (see InputMoments, Importance). `what` names the text and how it was cut, for
  // --resume. Scratch files go to `folder`. Input errors as GradientModel has them.
  ModelCalibration(const TensorFile& source, std::vector<std::vector<TokenId>> sequences, std::string what,
                   const std::filesystem::path& folder, CalibrationSettings settings);

  std::string describe() const override { return what_; }
  std::vector<std::string> order() const override;
  void start(const std::set<std::string>& to_be_coded) override;
  void reach(const std::string& tensor, const TensorFile& coded) override { moments_.reach(tensor, coded); }
  std::shared_ptr<const TensorCalibration> find(const std::string& tensor) const override;
  TunedValues tune(const TensorFile& coded, const std::set<std::string>& scaled,
                   std::vector<std::string>* notes) override;

 private:
  Importance measure_importance() const;
  SuffixTuning* make_tuning();

  const TensorFile& source_;
  const std::vector<std::vector<TokenId>> sequences_;
  const std::string what_;
  const std::filesystem::path folder_;
  const CalibrationSettings settings_;
  const ModelConfig config_;
  const std::vector<ModelPart> parts_;
  const std::vector<size_t> planned_;  // numbers of the sequences planned with
  Importance importance_;
  std::optional<SuffixTuning> tuning_;
  InputMoments moments_;
};

}  // namespace occ
