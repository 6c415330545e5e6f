// compress_model: compresses a model that is calibrated on a text. If the text is too short for the model, or unlike
// what the model expects, the model writes more text itself. The result is then compared with a file made without
// calibration, and the better of the two is kept.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/option_name.h"
#include "base/parallel.h"
#include "base/temporary.h"
#include "calibration/calibration_text.h"
#include "calibration/model_calibration.h"
#include "calibration/own_text.h"
#include "calibration/reference.h"
#include "calibration/run_plan.h"
#include "compress/integers_as_reals.h"
#include "compress/plan.h"
#include "container/archive_file.h"
#include "io/adapter.h"
#include "io/gguf_json.h"
#include "model/mended_file.h"
#include "occ/calibrate.h"
#include "recipe/method.h"

namespace occ {
namespace {

constexpr size_t kJudgeTokens = 8 * kOwnLength;  // number of tokens of the model's own text on which files are compared
constexpr uint64_t kJudgeSeed = 1u << 20, kTuneSeed = 1u << 21;  // so that other texts are sampled than for calibration
constexpr double kLeastRowOfPoorText = 0.1;                      // least importance of a row, see ImportanceSettings
// A text with a surprise (reference.h) above this, in nats, is unlike what the model expects.
constexpr double kUnlike = 1;

// The model compressed to the same size without calibration, in a temporary folder beside the output.
class Uncalibrated {
 public:
  Uncalibrated(const TensorFile& source, const std::filesystem::path& output, const CompressOptions& options)
      : folder_(output), path_(folder_.temporary_path() / "uncalibrated.occ") {
    CompressOptions plain = options;
    plain.resume = false;
    if (options.progress) {
      plain.progress = [&](const char* phase, uint64_t done, uint64_t total) {
        if (std::string_view(phase) == "compress") options.progress(kPhaseUncalibrated, done, total);
      };
    }
    report_ = compress_source(source, path_, plain, nullptr);
  }
  const std::filesystem::path& path() const { return path_; }
  // Moves the file to `output`.
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

class Run {
 public:
  Run(const TensorFile& source, const ModelConfig& config, const std::filesystem::path& output,
      const CompressOptions& options, const CalibrationOptions& calibration)
      : source_(source),
        config_(config),
        output_(output),
        options_(options),
        calibration_(completed(calibration, config, options.effort)),
        folder_(output.has_parent_path() ? output.parent_path() : "."),
        text_(read_calibration_text(source, config, calibration_, tune_tokens(calibration_))) {}

  CompressReport compress() {
    const bool mixed = calibration_.texts.empty();
    // All models get the same mixed text. If it is too short for a model, own_tokens() adds text of the model's own, so
    // no warning is needed.
    const bool few = !mixed && tokens_of(text_.calibrate) < tokens_wanted(config_, options_.effort);
    if (few && calibration_.warn) {
      calibration_.warn(fmt::format("{}: {} tokens to calibrate with are few for this model, {} would do", text_name(),
                                    tokens_of(text_.calibrate), tokens_wanted(config_, options_.effort)));
    }
    if (calibration_.announce) calibration_.announce(plan_run(config_, source_, text_, options_, calibration_));
    const bool unlike = !few && !config_.encoder && is_unlike();
    // Calibration on such a text can make the model worse on other texts, so a file without calibration is made to
    // compare with.
    std::optional<Uncalibrated> uncalibrated;
    if ((few || unlike) && !options_.dry_run && !options_.nmse) uncalibrated.emplace(source_, output_, options_);
    const size_t own = own_tokens(config_, text_, options_, calibration_, unlike);
    if (own != 0) {
      notes_.push_back(fmt::format("{}: {} tokens that the model wrote were added to it",
                                   unlike  ? "the text is unlike what this model expects"
                                   : mixed ? "the text is occ's mixed text"
                                           : "the text is short for this model",
                                   add_own_text(own)));
    }
    if (mixed && !config_.encoder && tune_tokens(calibration_) != 0) {
      text_.tune = write(tune_tokens(calibration_), kTuneSeed, kPhaseWriting);
    }
    CompressReport report = calibrate(uncalibrated ? &*uncalibrated : nullptr, few || unlike || mixed);
    if (text_.untemplated != 0 && !calibration_.texts.empty()) {
      notes_.push_back(
          fmt::format("{} conversations were read as plain text: the model's chat template is missing, "
                      "unknown or refuses them",
                      text_.untemplated));
    }
    report.notes.insert(report.notes.end(), notes_.begin(), notes_.end());
    return report;
  }

 private:
  std::string text_name() const {
    return calibration_.texts.size() == 1 ? calibration_.texts[0].string()
                                          : fmt::format("{} texts", calibration_.texts.size());
  }

  void progress(const char* phase, size_t done, size_t total) const {
    if (options_.progress) options_.progress(phase, done, total);
  }

  Sequences write(size_t tokens, uint64_t seed, const char* phase) const {
    return write_own_text(source_, config_, text_, tokens, seed,
                          [&](size_t done, size_t total) { progress(phase, done, total); });
  }

  bool is_unlike() const {
    const size_t count = std::min<size_t>(8, text_.calibrate.size());
    Sequences some;
    for (size_t i = 0; i < count; ++i) some.push_back(text_.calibrate[i * text_.calibrate.size() / count]);
    return surprise(source_, some, folder_) > kUnlike;
  }

  // Adds sequences that the model writes to the calibration sequences and counts the tokens again. Returns the number
  // of tokens added.
  size_t add_own_text(size_t tokens) {
    Sequences own = write(tokens, 0, kPhaseWriting);
    const size_t added = tokens_of(own);
    for (auto& s : own) text_.calibrate.push_back(std::move(s));
    std::fill(text_.counts.begin(), text_.counts.end(), 0);
    for (const auto& s : text_.calibrate) {
      for (const TokenId id : s) ++text_.counts[static_cast<size_t>(id)];
    }
    return added;
  }

  CompressReport calibrate(Uncalibrated* uncalibrated, bool may_lack_tokens) {
    uint64_t key = hash64(text_.counts.data(), text_.counts.size() * sizeof(uint64_t));
    for (const std::vector<TokenId>& s : text_.calibrate) key = key * 31 + hash64(s.data(), s.size() * sizeof(TokenId));
    std::string what =
        fmt::format("calibration: {} tokens in {} sequences, {} tuned on {}\n", tokens_of(text_.calibrate),
                    text_.calibrate.size(), hash_hex(key), tokens_of(text_.tune));
    if (calibration_.tune_weights != 0) {
      what.insert(what.size() - 1, fmt::format(" before {} layers", calibration_.tune_weights));
    }
    CalibrationSettings settings;
    settings.progress = options_.progress;
    const size_t tuning = text_.tune.size();
    settings.tune_sequences = std::move(text_.tune);
    settings.tune_places = calibration_.tune_weights;
    settings.cache = calibration_.lora.empty();  // what is cached is known by the path of the input alone
    settings.token_counts = std::move(text_.counts);
    if (may_lack_tokens) settings.least_table_row = kLeastRowOfPoorText;
    ModelCalibration model(source_, text_.calibrate, what, folder_, std::move(settings));
    // `output` is only replaced if the calibrated archive is the better one.
    Judgement judgement;
    std::optional<CompressReport> better;
    CompressReport report = compress_source(source_, output_, options_, &model, [&](const auto& archive) {
      judgement = judge(archive, uncalibrated);
      if (!judgement.worse) return true;
      better = uncalibrated->replace(output_, options_.sync);
      return false;
    });
    if (tune_tokens(calibration_) != 0 && tuning < 2 && !config_.encoder) {
      report.notes.emplace_back(
          "norms, biases and scales of rows are not tuned: the text has nothing left that is not calibrated with");
    }
    report.notes.push_back(what.substr(0, what.rfind(',')));
    if (config_.transposed_weights) {
      report.notes.emplace_back("linear layers are stored transposed: coded without second moments of their inputs");
    }
    if (better) {
      report = std::move(*better);
      notes_.emplace_back("calibration on this text made the model worse: the file was coded without");
    }
    if (judgement.tokens != 0) {
      report.loss = judgement.loss;
      report.loss_is_cosine = config_.encoder;
      report.loss_tokens = judgement.tokens;
      report.loss_text = judgement.text;
    }
    return report;
  }

  struct Judgement {
    bool worse = false;     // whether it is worse than the file without calibration
    double loss = 0;        // KL of the better file in nats per token, or 1 - cosine of an encoder
    size_t tokens = 0;      // number of tokens on which the loss was measured
    const char* text = "";  // which text these tokens are from, for the report
  };

  // Measures the loss of the archive on held-out sequences. If there is a file without calibration, compares the two,
  // also on text that the model writes.
  Judgement judge(const std::filesystem::path& archive, const Uncalibrated* uncalibrated) {
    std::vector<std::pair<const char*, Sequences>> judges;
    if (!text_.held_out.empty()) judges.emplace_back("held out", text_.held_out);
    if (!config_.encoder && (judges.empty() || uncalibrated != nullptr)) {
      judges.emplace_back("that the model wrote", write(kJudgeTokens, kJudgeSeed, kPhaseJudging));
    }
    if (judges.empty()) judges.emplace_back("calibrated with", text_.calibrate);
    Judgement out;
    std::vector<double> with, without;
    for (size_t i = 0; i < judges.size(); ++i) {
      const auto& [name, sequences] = judges[i];
      progress(kPhaseJudging, i, judges.size());
      with.push_back(divergence(ArchiveFile(archive), source_, sequences, folder_));
      if (uncalibrated == nullptr) break;
      without.push_back(divergence(ArchiveFile(uncalibrated->path()), source_, sequences, folder_));
      notes_.push_back(fmt::format("{} on {} tokens {}: {:.4g}, without calibration {:.4g}",
                                   config_.encoder ? "1 - cosine" : "KL", tokens_of(sequences), name, with.back(),
                                   without.back()));
      out.worse |= !(with.back() <= without.back());
    }
    progress(kPhaseJudging, judges.size(), judges.size());
    out.loss = out.worse ? without[0] : with[0];
    out.tokens = tokens_of(judges[0].second);
    out.text = judges[0].first;
    return out;
  }

  const TensorFile& source_;
  const ModelConfig& config_;
  const std::filesystem::path& output_;
  const CompressOptions& options_;
  const CalibrationOptions calibration_;
  const std::filesystem::path folder_;  // folder for scratch files
  CalibrationText text_;
  std::vector<std::string> notes_;
};

bool is_model(const TensorFile& source) {
  const std::vector<SideFile> files = source.side_files();
  return std::any_of(files.begin(), files.end(),
                     [](const SideFile& f) { return f.name == "config.json" || f.name == kGgufSideFile; });
}

// Returns why a model cannot be calibrated, or an empty text if it can.
std::string obstacle(const TensorFile& source) {
  try {
    const ModelConfig config = read_config(source);
    model_parts(source, config);
    make_tokenizer(source);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

bool keeps_all(const TensorFile& source, const CompressOptions& options) {
  const std::vector<PlannedTensor> plan = plan_tensors(source, options);
  return std::none_of(plan.begin(), plan.end(), [](const PlannedTensor& t) { return t.method.has_value(); });
}

bool is_ceiling(const std::string& method) { return Method::parse(method).continuous(); }

uint64_t bytes_at(const TensorFile& source, double bits) {
  double bytes = 0;
  for (const TensorInfo& t : source.tensors()) bytes += static_cast<double>(t.elements()) * bits / 8;
  return static_cast<uint64_t>(bytes);
}

CompressReport compress_plainly(std::unique_ptr<TensorFile> source, const std::filesystem::path& output,
                                const CompressOptions& options, const std::string& note) {
  source = integers_as_reals(std::move(source), options);
  CompressReport report = compress_source(*source, output, options, nullptr, {});
  if (!note.empty()) report.notes.push_back(note);
  return report;
}

}  // namespace

bool decides_errors(const CompressOptions& o) {
  return !o.recipe.empty() || o.nmse || !o.sensitivity.empty() || !o.activations.empty() || !o.hessian.empty();
}

CompressReport compress_model(const std::filesystem::path& input, const std::filesystem::path& output,
                              const CompressOptions& options, const CalibrationOptions& calibration) {
  const ThreadLimit limit(options.threads);
  const auto start = std::chrono::steady_clock::now();
  if (!calibration.off && (!options.activations.empty() || !options.hessian.empty())) {
    throw_usage("{}: expected neither {} nor {}, it measures second moments itself", option_name("calibrate"),
                option_name("activations"), option_name("hessian"));
  }
  std::unique_ptr<TensorFile> source = open_model_file(input);
  if (!calibration.lora.empty()) source = with_adapter(std::move(source), calibration.lora);
  if (options.resume && !calibration.lora.empty()) {
    throw_usage("{}: expected without {}: nothing tells whether the adapter is that of the earlier run",
                option_name("resume"), option_name("lora"));
  }
  if (calibration.off) return compress_plainly(std::move(source), output, options, "");
  const bool by_default = calibration.texts.empty();
  if (by_default && !is_model(*source) &&
      (calibration.tokens != 0 || calibration.context != 0 || calibration.tune_tokens ||
       calibration.tune_weights != 0)) {
    throw_usage("{}: no language model or encoder, expected no options of calibration", source->path());
  }
  if (by_default && (!is_model(*source) || keeps_all(*source, options)))
    return compress_plainly(std::move(source), output, options, "");
  if (const std::string why = by_default ? obstacle(*source) : ""; !why.empty()) {
    return compress_plainly(std::move(source), output, options, "not calibrated: " + why);
  }
  const ModelConfig config = read_config(*source);
  calibration_context(config, calibration);  // an error of the arguments is one, also where a calibration is optional
  check_compression(*source, output, options);
  if (by_default && options.dry_run) {
    return compress_plainly(std::move(source), output, options,
                            "the figures are those without calibration; the run itself would be calibrated");
  }
  CompressReport report;
  CompressOptions calibrated = options;
  calibrated.effort = calibration.effort.value_or(options.effort);
  // What a calibrated file stores besides the codes may alone take more than so few bits. With a size, that is an error
  // that is handled below; with bits it would only be a note.
  constexpr double kFewBits = 2;
  if (by_default && options.bits && *options.bits < kFewBits && options.tensors.empty() && is_ceiling(options.method)) {
    calibrated.size = bytes_at(*source, *std::exchange(calibrated.bits, std::nullopt));
  }
  try {
    report = Run(*source, config, output, calibrated, calibration).compress();
  } catch (const Error& e) {
    if (!by_default || e.kind() == ErrorKind::kFailed) throw;
    return compress_plainly(std::move(source), output, options, fmt::format("not calibrated: {}", e.what()));
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace occ
