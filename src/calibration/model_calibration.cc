#include "calibration/model_calibration.h"

#include <algorithm>

#include "base/parallel.h"
#include "calibration/run_plan.h"
#include "calibration/tune.h"

namespace occ {
namespace {

std::vector<size_t> spread(size_t count, size_t among) {
  std::vector<size_t> out;
  for (size_t i = 0; i < std::min(count, among); ++i) out.push_back(i * among / std::min(count, among));
  return out;
}

}  // namespace

ModelCalibration::ModelCalibration(const TensorFile& source, std::vector<std::vector<TokenId>> sequences,
                                   std::string what, const std::filesystem::path& folder, CalibrationSettings settings)
    : source_(source),
      sequences_(std::move(sequences)),
      what_(std::move(what)),
      folder_(folder),
      settings_(std::move(settings)),
      config_(read_config(source)),
      parts_(model_parts(source, config_)),
      planned_(spread(settings_.plan_sequences, sequences_.size())),
      importance_(measure_importance()),
      moments_(source_, config_, parts_, sequences_, folder_, make_tuning()) {
  moments_.plan(importance_, planned_, [&](size_t done, size_t total) {
    if (settings_.progress) settings_.progress(kPhaseMoments, done, total);
  });
}

SuffixTuning* ModelCalibration::make_tuning() {
  if (settings_.tune_places == 0 || settings_.tune_sequences.size() < 2) return nullptr;
  if (!SuffixTuning::is_possible(source_, config_)) return nullptr;
  SuffixTuningOptions options;
  options.every = std::max<size_t>(1, ceil_div(config_.layers, settings_.tune_places));
  options.progress = [this](size_t step, size_t steps) {
    if (settings_.progress) settings_.progress(kPhaseTuning, step, steps);
  };
  return &tuning_.emplace(source_, config_, settings_.tune_sequences, folder_, options);
}

void ModelCalibration::start(const std::set<std::string>& to_be_coded) {
  if (tuning_) tuning_->start(to_be_coded);
}

Importance ModelCalibration::measure_importance() const {
  std::vector<std::vector<TokenId>> sequences;
  for (const size_t i : planned_) sequences.push_back(sequences_[i]);
  ImportanceSettings settings{settings_.cache, settings_.token_counts, settings_.least_table_row, {}};
  settings.progress = [&](size_t done, size_t total) {
    if (settings_.progress) settings_.progress(kPhaseImportance, done, total);
  };
  return Importance(source_, config_, parts_, sequences, folder_, std::move(settings));
}

std::vector<std::string> ModelCalibration::order() const {
  std::vector<std::string> out = importance_.tables();
  for (const ModelPart& part : parts_) {
    const std::vector<std::string> tensors = part.tensors();
    out.insert(out.end(), tensors.begin(), tensors.end());
  }
  return out;
}

std::shared_ptr<const TensorCalibration> ModelCalibration::find(const std::string& tensor) const {
  auto out = std::make_shared<TensorCalibration>();
  const bool has_importance = importance_.find(tensor, out.get());
  const bool has_moments = moments_.find(tensor, out.get());
  if (tuning_ && tuning_->has(tensor)) {
    out->weights = [this, tensor] { return tuning_->find(tensor); };
  }
  return has_importance || has_moments ? out : nullptr;
}

TunedValues ModelCalibration::tune(const TensorFile& coded, const std::set<std::string>& scaled,
                                   const std::set<std::string>& fixed, std::vector<std::string>* notes) {
  const std::vector<std::string> found = moments_.notes();
  notes->insert(notes->end(), found.begin(), found.end());
  if (tuning_) {
    const std::vector<std::string> tuned = tuning_->notes();
    notes->insert(notes->end(), tuned.begin(), tuned.end());
    tuning_->release();
  } else if (settings_.tune_places != 0) {
    notes->emplace_back(settings_.tune_sequences.size() < 2
                            ? "weights that were not coded yet were not tuned: there are no tokens to tune on"
                            : "weights that were not coded yet were not tuned: the model is too large for that, or of "
                              "another kind (calibrate.h)");
  }
  if (settings_.tune_sequences.size() < 2 || config_.encoder) return {};
  moments_.release();  // fine-tuning needs the memory for the whole model
  size_t tokens = 0;
  for (const std::vector<TokenId>& s : settings_.tune_sequences) tokens += s.size();
  TuneOptions options;
  options.fixed = fixed;
  options.rate = 0.006;  // below the default rate, because there is less left to gain after calibration
  options.progress = [&](size_t step, size_t steps, double) {
    if (settings_.progress) settings_.progress(kPhaseTuning, step, steps);
  };
  if (!config_.transposed_weights) options.scaled = scaled;  // rows of a stored W^T are inputs, not outputs
  TuneResult result = tune_model(coded, source_, settings_.tune_sequences, folder_, options);
  notes->push_back(fmt::format("{} tuned on {} tokens: KL {:.4g}, {:.4g} before, on sequences held out{}",
                               options.scaled.empty() ? "norms and biases" : "norms, biases and scales of rows", tokens,
                               result.kl_after, result.kl_before, result.values.vectors.empty() ? "; not kept" : ""));
  return std::move(result.values);
}

}  // namespace occ
