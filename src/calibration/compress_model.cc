// compress_model: compresses a model with a calibration on a text. Where the text is too short for the model, or unlike
// what the model expects, the model writes more text itself, and the result is compared with that of no calibration at
// all, to keep the better one.
#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/option_name.h"
#include "base/parallel.h"
#include "base/temporary.h"
#include "calibration/calibration_text.h"
#include "calibration/model_calibration.h"
#include "calibration/reference.h"
#include "container/archive_file.h"
#include "occ/calibrate.h"

namespace occ {
namespace {

constexpr size_t kSampleTokens = 256;  // of a sequence that the model writes
constexpr size_t kJudges = 8;          // such sequences that results are judged by
constexpr size_t kSamplesAtOnce = 32;
constexpr uint64_t kJudgeSeed = 1u << 20;    // other samples than those calibrated with
constexpr double kLeastRowOfPoorText = 0.1;  // see ImportanceSettings
constexpr double kUnlike = 1;                // surprise from which on a text is unlike what the model expects, in nats

// The same model at the same size without calibration, in a temporary folder beside the output.
class Uncalibrated {
 public:
  Uncalibrated(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options)
      : folder_(output), path_(folder_.temporary_path() / "uncalibrated.occ") {
    CompressOptions plain = options;
    plain.resume = false;
    report_ = compress_source(source, path_, plain, nullptr);
  }
  const std::filesystem::path& path() const { return path_; }
  // Puts the file in the place of `output`.
  CompressReport replace(const std::filesystem::path& output, bool sync) {
    std::filesystem::rename(path_, output);
    if (sync) sync_folder(folder_of(output));
    return std::move(report_);
  }

 private:
  OutputFolder folder_;
  std::filesystem::path path_;
  CompressReport report_;
};

Sequences write(const TensorFile& source, const ModelConfig& config, const CalibrationText& text, size_t count,
                uint64_t seed) {
  const size_t length = config.max_context == 0 ? kSampleTokens : std::min(kSampleTokens, config.max_context);
  Sequences out;
  while (out.size() < count) {
    const size_t now = std::min(kSamplesAtOnce, count - out.size());
    for (auto& s : sample_sequences(source, text.bos, now, length, seed + out.size())) out.push_back(std::move(s));
  }
  return out;
}

bool is_unlike(const TensorFile& source, const CalibrationText& text, const std::filesystem::path& folder) {
  const size_t count = std::min<size_t>(8, text.calibrate.size());
  Sequences some;
  for (size_t i = 0; i < count; ++i) some.push_back(text.calibrate[i * text.calibrate.size() / count]);
  return surprise(source, some, folder) > kUnlike;
}

// Adds sequences that the model writes to the text, and tokens of those calibrated with become the counts. Returns their
// number of tokens.
size_t add_own_text(const TensorFile& source, const ModelConfig& config, CalibrationText* text) {
  const size_t tokens = std::max(enough_tokens(config), tokens_of(text->calibrate) / 4);
  Sequences own = write(source, config, *text, (tokens + kSampleTokens - 1) / kSampleTokens, 0);
  const size_t added = tokens_of(own);
  for (auto& s : own) text->calibrate.push_back(std::move(s));
  std::fill(text->counts.begin(), text->counts.end(), 0);
  for (const auto& s : text->calibrate) {
    for (const TokenId id : s) ++text->counts[static_cast<size_t>(id)];
  }
  return added;
}

// Whether the file without calibration is the better one, on sequences held out or on text that the model writes.
bool calibration_is_worse(const TensorFile& source, const ModelConfig& config, const std::filesystem::path& calibrated,
                          const std::filesystem::path& uncalibrated, const CalibrationText& text,
                          const std::filesystem::path& folder, std::vector<std::string>* notes) {
  std::vector<std::pair<const char*, Sequences>> judges;
  if (!text.held_out.empty()) judges.emplace_back("of the text that were held out", text.held_out);
  if (!config.encoder) judges.emplace_back("that the model wrote", write(source, config, text, kJudges, kJudgeSeed));
  if (judges.empty()) judges.emplace_back("calibrated with", text.calibrate);
  bool worse = false;
  for (const auto& [name, sequences] : judges) {
    const double with = divergence(ArchiveFile(calibrated), source, sequences, folder);
    const double without = divergence(ArchiveFile(uncalibrated), source, sequences, folder);
    notes->push_back(fmt::format("{} on {} tokens {}: {:.4g}, without calibration {:.4g}",
                                 config.encoder ? "1 - cosine" : "KL", tokens_of(sequences), name, with, without));
    worse |= !(with <= without);
  }
  return worse;
}

}  // namespace

CompressReport compress_model(const std::filesystem::path& input, const std::filesystem::path& output,
                              const CompressOptions& options, const CalibrationOptions& calibration) {
  const ThreadLimit limit(options.threads);
  const auto start = std::chrono::steady_clock::now();
  if (!options.activations.empty() || !options.hessian.empty()) {
    throw_usage("{}: expected neither {} nor {}, it measures second moments itself", option_name("calibrate"),
                option_name("activations"), option_name("hessian"));
  }
  const std::unique_ptr<TensorFile> source = open_any(input);
  const ModelConfig config = read_config(*source);
  if (!options.dry_run) require_writable_target(output, options.force);
  CalibrationText text = read_calibration_text(*source, config, calibration);
  const std::filesystem::path folder = output.has_parent_path() ? output.parent_path() : ".";
  const bool few = tokens_of(text.calibrate) < enough_tokens(config);
  if (few && calibration.warn) {
    calibration.warn(fmt::format("{}: {} tokens to calibrate with are few for this model, {} would do",
                                 calibration.text.string(), tokens_of(text.calibrate), enough_tokens(config)));
  }
  std::vector<std::string> notes;
  const bool unlike = !few && !config.encoder && is_unlike(*source, text, folder);
  // What is gained on such a text may be lost on others.
  std::optional<Uncalibrated> uncalibrated;
  if ((few || unlike) && !options.dry_run && !options.nmse) uncalibrated.emplace(*source, output, options);
  if ((few || unlike) && !config.encoder) {
    notes.push_back(fmt::format("the text is {}: {} tokens that the model wrote were added to it",
                                few ? "short for this model" : "unlike what this model expects",
                                add_own_text(*source, config, &text)));
  }
  uint64_t key = hash64(text.counts.data(), text.counts.size() * sizeof(uint64_t));
  for (const std::vector<TokenId>& s : text.calibrate) key = key * 31 + hash64(s.data(), s.size() * sizeof(TokenId));
  const size_t tokens = tokens_of(text.calibrate), sequences = text.calibrate.size();
  const std::string what = fmt::format("calibration: {} tokens in {} sequences, {} tuned on {}\n", tokens, sequences,
                                       hash_hex(key), tokens_of(text.tune));
  CalibrationSettings settings;
  settings.progress = options.progress;
  const size_t tuning = text.tune.size();
  settings.tune_sequences = std::move(text.tune);
  settings.cache = true;
  settings.token_counts = std::move(text.counts);
  if (few || unlike) settings.least_table_row = kLeastRowOfPoorText;
  ModelCalibration model(*source, text.calibrate, what, folder, std::move(settings));
  // The archive gets its name only if it is the better one.
  std::optional<CompressReport> better;
  CompressReport report = compress_source(*source, output, options, &model, [&](const auto& archive) {
    if (!uncalibrated) return true;
    if (!calibration_is_worse(*source, config, archive, uncalibrated->path(), text, folder, &notes)) return true;
    better = uncalibrated->replace(output, options.sync);
    return false;
  });
  if (calibration.tune_tokens != 0 && tuning < 2 && !config.encoder) {
    report.notes.emplace_back(
        "norms, biases and scales of rows are not tuned: the text has nothing left that is not calibrated with");
  }
  report.notes.push_back(what.substr(0, what.rfind(',')));
  if (config.transposed_weights) {
    report.notes.emplace_back("linear layers are stored transposed: coded without second moments of their inputs");
  }
  if (better) {
    report = std::move(*better);
    notes.emplace_back("calibration on this text made the model worse: the file was coded without");
  }
  report.notes.insert(report.notes.end(), notes.begin(), notes.end());
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace occ
