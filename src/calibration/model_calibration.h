// Calibrates a whole model while it is compressed: provides the importance of rows and the second moments of inputs for
// each tensor before it is coded, and fine-tunes the model at the end.
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
  size_t plan_sequences = 16;  // number of sequences used for what must be known before anything is coded
  // Sequences for fine-tuning. They must not be among those used for calibration, because errors are smaller there than
  // elsewhere. With fewer than two, nothing is tuned.
  std::vector<std::vector<TokenId>> tune_sequences;
  // How often, at most, the weights that are not coded yet are tuned (suffix_tuning.h); the places are spread evenly
  // over the layers.
  size_t tune_places = 0;
  bool cache = false;  // whether importance is kept for other runs (base/cache.h)
  // [vocabulary] How often each token occurs in the whole text; empty: unknown.
  std::vector<uint64_t> token_counts;
  double least_table_row = 0.01;  // see ImportanceSettings
  std::function<void(const char* phase, uint64_t done, uint64_t total)> progress;
};

class ModelCalibration final : public CalibrationSource {
 public:
  // Measures importance and second moments on the original model (see InputMoments, Importance). `what` describes the
  // text and how it was cut, so that --resume can compare it. Scratch files go to `folder`. Input errors are those of
  // GradientModel.
  ModelCalibration(const TensorFile& source, std::vector<std::vector<TokenId>> sequences, std::string what,
                   const std::filesystem::path& folder, CalibrationSettings settings);

  std::string describe() const override { return what_; }
  std::vector<std::string> order() const override;
  void start(const std::set<std::string>& to_be_coded) override;
  void reach(const std::string& tensor, const TensorFile& coded) override { moments_.reach(tensor, coded); }
  std::shared_ptr<const TensorCalibration> find(const std::string& tensor) const override;
  TunedValues tune(const TensorFile& coded, const std::set<std::string>& scaled, const std::set<std::string>& fixed,
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
  const std::vector<size_t> planned_;  // indices of the sequences that are used before anything is coded
  Importance importance_;
  std::optional<SuffixTuning> tuning_;
  InputMoments moments_;
};

}  // namespace occ
