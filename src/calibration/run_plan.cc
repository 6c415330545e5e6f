#include "calibration/run_plan.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "io/json.h"

namespace occ {
namespace {

constexpr size_t kTuneTokens = 16384, kQuickTokens = 6144, kQuickContext = 256;

// Seconds per weight of the matrices, on one core of a server with AVX2, measured on SmolLM2-135M. The three rates of
// coding are for efforts of up to 3, 6 and 9.
constexpr double kCodingQuickly = 0.25e-6, kCoding = 0.55e-6, kCodingLongest = 3e-6;
constexpr double kPlanning = 0.1e-6, kWriting = 0.03e-6;
// Seconds per weight and token.
constexpr double kGradientsPerToken = 0.12e-9, kMomentsPerToken = 0.05e-9, kPrefixPerToken = 0.12e-9;
constexpr double kOwnPerToken = 0.1e-9, kTuningPerToken = 0.11e-9, kJudgingPerToken = 0.06e-9;
constexpr double kPlannedSequences = 16;  // CalibrationSettings::plan_sequences

}  // namespace

size_t own_tokens(const ModelConfig& config, const CalibrationText& text, const CompressOptions& options,
                  const CalibrationOptions& calibration, bool unlike) {
  if (config.encoder) return 0;
  const size_t tokens = tokens_of(text.calibrate), enough = tokens_wanted(config, options.effort);
  if (calibration.texts.empty() && !unlike) return tokens >= enough ? 0 : std::min(tokens, enough - tokens);
  return unlike || tokens < enough ? std::max(enough, tokens / 4) : 0;
}

size_t tune_tokens(const CalibrationOptions& calibration) { return calibration.tune_tokens.value_or(kTuneTokens); }

CalibrationOptions completed(CalibrationOptions calibration, const ModelConfig& config, int effort) {
  if (effort != 1) return calibration;
  const size_t most = config.encoder ? config.max_text : config.max_context;
  if (calibration.tokens == 0) calibration.tokens = kQuickTokens;
  if (calibration.context == 0 && (most == 0 || most >= kQuickContext)) calibration.context = kQuickContext;
  if (!calibration.tune_tokens) calibration.tune_tokens = 0;
  return calibration;
}

size_t tokens_wanted(const ModelConfig& config, int effort) {
  return effort == 1 ? std::min(enough_tokens(config), kQuickTokens * 3 / 4) : enough_tokens(config);
}

CalibrationPlan plan_run(const ModelConfig& config, const TensorFile& source, const CalibrationText& text,
                         const CompressOptions& options, const CalibrationOptions& calibration) {
  const bool mixed = calibration.texts.empty();
  const size_t own = own_tokens(config, text, options, calibration, false);
  const size_t own_tune = mixed && !config.encoder ? tune_tokens(calibration) : 0;
  CalibrationPlan out;
  out.tokens = tokens_of(text.calibrate) + own;
  for (const std::filesystem::path& path : calibration.texts) {
    out.text += (out.text.empty() ? "" : ", ") + printable(path.string());
  }
  if (mixed) out.text = "the mixed text of occ";
  if (own != 0) out.text += fmt::format(" and text that the model writes ({} tokens)", own);
  if (own_tune != 0) out.text += fmt::format("; fine-tuning on {} tokens that the model writes", own_tune);
  double weights = 0;
  for (const TensorInfo& t : source.tensors()) weights += t.shape.size() > 1 ? static_cast<double>(t.elements()) : 0;
  const double per_core = weights / static_cast<double>(max_threads());
  const auto tokens = static_cast<double>(out.tokens), tuned = static_cast<double>(own_tune + tokens_of(text.tune));
  const double planned = tokens * std::min(1.0, kPlannedSequences / static_cast<double>(text.calibrate.size()));
  const double coding = options.effort <= 3 ? kCodingQuickly : options.effort <= 6 ? kCoding : kCodingLongest;
  const auto add = [&](const char* phase, double seconds) { out.phases.push_back({phase, per_core * seconds}); };
  if (own != 0 && !mixed) add(kPhaseUncalibrated, kCodingQuickly);
  if (own + own_tune != 0) add(kPhaseWriting, static_cast<double>(own + own_tune) * kOwnPerToken);
  add(kPhaseImportance, planned * kGradientsPerToken);
  add(kPhaseMoments, planned * kMomentsPerToken + kPlanning);
  add("compress", tokens * kPrefixPerToken + coding);
  if (tuned != 0) add(kPhaseTuning, tuned * kTuningPerToken);
  add("write", kWriting);
  add(kPhaseJudging, static_cast<double>(tokens_of(text.held_out)) * kJudgingPerToken * (own != 0 && !mixed ? 4 : 1));
  return out;
}

}  // namespace occ
