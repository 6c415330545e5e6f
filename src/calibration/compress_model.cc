// compress_model: cuts the text into sequences and compresses the model with a calibration on them.
#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "calibration/model_calibration.h"
#include "container/archive_file.h"
#include "occ/calibrate.h"
#include "tokenizer/tokenizer.h"

namespace occ {
namespace {

constexpr size_t kDefaultSequences = 128, kDefaultContext = 512;

using Sequences = std::vector<std::vector<TokenId>>;

size_t tokens_of(const Sequences& sequences) {
  size_t tokens = 0;
  for (const std::vector<TokenId>& s : sequences) tokens += s.size();
  return tokens;
}

// Takes sequences with about `tokens` tokens out of `all`, evenly spread.
Sequences take_evenly(Sequences* all, size_t tokens) {
  const size_t total = tokens_of(*all);
  const size_t count = total <= tokens ? all->size() : std::max<size_t>(1, tokens * all->size() / total);
  Sequences taken, left;
  for (size_t i = 0; i < all->size(); ++i) {
    const bool take = taken.size() < count && i == taken.size() * all->size() / count;
    (take ? taken : left).push_back(std::move((*all)[i]));
  }
  *all = std::move(left);
  return taken;
}

struct CalibrationText {
  Sequences calibrate, tune;
  std::vector<uint64_t> counts;  // of tokens in the whole text
};

// Chunks of `context` tokens whose first token becomes BOS if the tokenizer adds one, as for perplexity.
std::vector<std::vector<TokenId>> cut_chunks(const Tokenizer& tokenizer, const std::string& text, size_t context) {
  const std::vector<TokenId> tokens = tokenizer.encode(text, {.add_special = true, .parse_special = false});
  std::vector<std::vector<TokenId>> chunks;
  for (size_t i = 0; i + context <= tokens.size(); i += context) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i);
    chunks.emplace_back(begin, begin + static_cast<ptrdiff_t>(context));
    if (tokenizer.adds_bos() && tokenizer.bos()) chunks.back()[0] = *tokenizer.bos();
  }
  if (chunks.empty() && tokens.size() > 1) chunks.push_back(tokens);
  return chunks;
}

std::vector<std::vector<TokenId>> cut_lines(const Tokenizer& tokenizer, const std::string& text, size_t longest) {
  std::vector<std::vector<TokenId>> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) {
      std::vector<TokenId> ids = tokenizer.encode(std::string_view(text).substr(begin, end - begin),
                                                  {.add_special = true, .parse_special = false});
      if (ids.size() > longest) {
        ids[longest - 1] = ids.back();
        ids.resize(longest);
      }
      if (!ids.empty()) lines.push_back(std::move(ids));
    }
    begin = end + 1;
  }
  return lines;
}

CalibrationText read_text(const TensorFile& file, const CalibrationOptions& options) {
  const ModelConfig config = read_config(file);
  const Bytes bytes = read_file(options.text);
  const std::string text(bytes.begin(), bytes.end());
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(file);
  const size_t most = config.encoder ? config.max_text : config.max_context;
  if (options.context != 0 && (options.context < 2 || (most != 0 && options.context > most))) {
    throw_usage("--context: expected 2 to {} tokens for calibration, found {}", most, options.context);
  }
  const size_t context = options.context != 0 ? options.context
                         : most != 0          ? std::min(kDefaultContext, most)
                                              : kDefaultContext;
  const size_t wanted = options.tokens != 0 ? options.tokens : kDefaultSequences * context;
  Sequences all = config.encoder ? cut_lines(*tokenizer, text, context) : cut_chunks(*tokenizer, text, context);
  if (all.empty()) throw_input("{}: expected text to calibrate with, found none", options.text.string());
  CalibrationText out;
  out.counts.resize(config.vocab_size);
  for (const auto& s : all) {
    for (const TokenId id : s) {
      if (id < 0 || static_cast<size_t>(id) >= config.vocab_size) {
        throw_input("{}: token {}: expected an id below {}, the size of the model's vocabulary", file.path(), id,
                    config.vocab_size);
      }
      ++out.counts[static_cast<size_t>(id)];
    }
  }
  out.calibrate = take_evenly(&all, wanted);
  if (options.tune_tokens != 0 && !config.encoder) out.tune = take_evenly(&all, options.tune_tokens);
  return out;
}

}  // namespace

CompressReport compress_model(const std::filesystem::path& input, const std::filesystem::path& output,
                              const CompressOptions& options, const CalibrationOptions& calibration) {
  const ThreadLimit limit(options.threads);
  const auto start = std::chrono::steady_clock::now();
  if (!options.activations.empty() || !options.hessian.empty()) {
    throw_usage("--calibrate: expected neither --activations nor --hessian, it measures second moments itself");
  }
  const std::unique_ptr<TensorFile> source = open_any(input);
  CalibrationText text = read_text(*source, calibration);
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
  const std::filesystem::path folder = output.has_parent_path() ? output.parent_path() : ".";
  ModelCalibration model(*source, std::move(text.calibrate), what, folder, std::move(settings));
  CompressReport report = compress_source(*source, output, options, &model);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (calibration.tune_tokens != 0 && tuning < 2 && !read_config(*source).encoder) {
    report.notes.emplace_back(
        "norms, biases and scales of rows are not tuned: the text has nothing left that is not calibrated with");
  }
  report.notes.push_back(what.substr(0, what.rfind(',')));
  if (read_config(*source).transposed_weights) {
    report.notes.emplace_back("linear layers are stored transposed: coded without second moments of their inputs");
  }
  return report;
}

}  // namespace occ
