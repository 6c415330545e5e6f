#include "report/sweep_losses.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "evaluation/perplexity.h"
#include "io/gguf_json.h"
#include "report/comparison.h"

namespace occ {
namespace {

// Inputs whose rows are vectors that are compared with each other.
bool holds_vectors(const TensorFile& file) {
  for (const char* format : {"npy", "fvecs", "bvecs", "ivecs"}) {
    if (file.format() == format) return true;
  }
  return false;
}

bool is_model(const TensorFile& file) {
  const std::vector<SideFile> files = file.side_files();
  return std::any_of(files.begin(), files.end(),
                     [](const SideFile& f) { return f.name == "config.json" || f.name == kGgufSideFile; });
}

TransformerOptions floats() { return {.arithmetic = Arithmetic::kF32, .observer = {}}; }

}  // namespace

void check_calibration(const TensorFile& source) { make_tokenizer(source); }

SweepLosses::SweepLosses(const TensorFile& source, std::string path, const SweepOptions& options)
    : source_(source), path_(std::move(path)), options_(options), vectors_(holds_vectors(source)) {
  if (options.text.empty()) return;
  if (!is_model(source)) throw_usage("--text: expected with a model, {} is none", path_);
  encoder_ = is_encoder(source);
  if (encoder_) {
    read_pairs(options.text);
  } else {
    const Bytes bytes = read_file(options.text);
    text_.assign(bytes.begin(), bytes.end());
  }
  make_tokenizer(source);
}

const char* SweepLosses::name() const {
  return options_.text.empty() ? kLossOfWeights : encoder_ ? kLossOfEncoder : kLossOfLanguage;
}

void SweepLosses::measure(const ArchiveFile& archive, const ProgressFn& progress, SweepCell* cell) {
  ComparisonOptions how;
  how.cosines = vectors_;
  how.progress = [&](uint64_t done, uint64_t total) {
    progress("compare", done * sizeof(float), total * sizeof(float));
  };
  const Comparison c = compare_files(source_, archive, how);
  cell->nmse = c.total.distortion.nmse();
  cell->cosine = c.total.distortion.cosine();
  if (c.total.cosines) {
    cell->row_cosine = c.total.cosines->mean();
    cell->recall = c.total.cosines->recall();
    cell->recall_stderr = c.total.cosines->recall_stderr();
  }
  if (options_.text.empty()) return;
  const std::lock_guard lock(mutex_);
  if (encoder_) {
    measure_encoder(archive, progress, cell);
  } else {
    measure_language(archive, progress, cell);
  }
}

void SweepLosses::measure_language(const ArchiveFile& archive, const ProgressFn& progress, SweepCell* cell) {
  if (!language_model_) language_model_ = open_language_model(path_, floats());
  const auto model = load_transformer(archive, floats());
  PerplexityOptions how;
  how.max_tokens = options_.max_tokens;
  how.progress = [&](uint64_t done, uint64_t total) { progress("text", done, total); };
  const PerplexityResult r = measure_perplexity(*model, *language_model_->tokenizer, text_, options_.text.string(),
                                                language_model_->transformer.get(), how);
  cell->perplexity = r.perplexity;
  cell->perplexity_stderr = r.perplexity_stderr;
  cell->kl = r.divergence->kl_mean;
  cell->kl_stderr = r.divergence->kl_stderr;
  cell->reference_perplexity = r.divergence->reference_perplexity;
}

void SweepLosses::measure_encoder(const ArchiveFile& archive, const ProgressFn& progress, SweepCell* cell) {
  if (!encoder_model_) encoder_model_ = open_encoder(path_, floats());
  EncoderModel model;
  model.encoder = load_encoder(archive, floats());
  model.tokenizer = make_tokenizer(archive);
  const PairsResult r = measure_pairs(model, *encoder_model_, options_.text.string(), options_.limit,
                                      [&](uint64_t done, uint64_t total) { progress("embed", done, total); });
  cell->embedding_cosine = r.cosine.mean;
  cell->embedding_cosine_stderr = r.cosine.standard_error;
  cell->spearman = r.spearman;
}

}  // namespace occ
