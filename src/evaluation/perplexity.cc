#include "evaluation/perplexity.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/option_name.h"
#include "base/parallel.h"

namespace occ {
namespace {

constexpr size_t kBatchTokens = 1024;  // short chunks run together, up to so many tokens in one pass
constexpr size_t kDefaultContext = 512;
constexpr size_t kLogitRows = 128;  // rows of logits at a time: 128 x 128,256 floats are 66 MB

// The measurements at one scored position.
struct ScoredPosition {
  double nll, reference_nll, kl;
  bool agrees;
};

size_t argmax(std::span<const float> row) {
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// Scores rows of logits [n, vocab_size]: next[i] is the token that follows the position of row i. `reference` holds the
// logits of the reference model or is null. Results go to `out` [n].
void score(const Matrix<float>& logits, const Matrix<float>* reference, std::span<const TokenId> next,
           std::span<ScoredPosition> out) {
  parallel_for(next.size(), [&](size_t i) {
    const std::span<const float> row(logits.row(i), logits.cols());
    const double partition = finite_log_partition(row);
    const auto token = static_cast<size_t>(next[i]);
    out[i] = {partition - static_cast<double>(row[token]), 0, 0, false};
    if (reference == nullptr) return;
    const std::span<const float> truth(reference->row(i), reference->cols());
    const double truth_partition = finite_log_partition(truth);
    double kl = 0;
    for (size_t v = 0; v < row.size(); ++v) {
      const double log_p = static_cast<double>(truth[v]) - truth_partition;
      if (log_p < -80) continue;  // a probability below 1e-34 adds nothing
      kl += static_cast<double>(std::exp(static_cast<float>(log_p))) *
            (log_p - (static_cast<double>(row[v]) - partition));
    }
    out[i].reference_nll = truth_partition - static_cast<double>(truth[token]);
    out[i].kl = std::max(kl, 0.0);  // rounding can give a negative sum
    out[i].agrees = argmax(row) == argmax(truth);
  });
}

// Computes the hidden states of whole chunks. Every chunk starts with an empty key-value cache.
class ChunkRunner {
 public:
  ChunkRunner(const Transformer& model, size_t context, size_t at_once) : model_(model) {
    for (size_t i = 0; i < at_once; ++i) caches_.push_back(model.make_cache(context));
  }
  Matrix<float> hidden(std::span<const std::vector<TokenId>> chunks) {
    std::vector<Sequence> sequences;
    for (size_t i = 0; i < chunks.size(); ++i) {
      caches_[i]->truncate(0);
      sequences.push_back({chunks[i], caches_[i].get()});
    }
    return model_.hidden(sequences);
  }
  Matrix<float> logits(MatrixView<const float> hidden) const {
    Matrix<float> out = Matrix<float>::uninitialized(hidden.rows(), model_.config().vocab_size);
    model_.logits(hidden, out.view());
    return out;
  }

 private:
  const Transformer& model_;
  std::vector<std::unique_ptr<KvCache>> caches_;
};

void check_model(const Transformer& model, size_t context) {
  if (model.config().max_context != 0 && context > model.config().max_context) {
    throw_usage("{}: the model takes {} positions, found {}", option_name("context"), model.config().max_context,
                context);
  }
}

PerplexityResult summarize(const std::vector<ScoredPosition>& positions, bool with_reference) {
  PerplexityResult out;
  out.tokens = positions.size();
  const auto values_of = [&](auto&& value) {
    std::vector<double> values;
    values.reserve(positions.size());
    for (const ScoredPosition& p : positions) values.push_back(value(p));
    return values;
  };
  const Mean nll = mean_of(values_of([](const ScoredPosition& p) { return p.nll; }));
  out.nll = nll.mean;
  out.perplexity = std::exp(nll.mean);
  out.perplexity_stderr = out.perplexity * nll.standard_error;
  if (!with_reference) return out;
  std::vector<double> kl = values_of([](const ScoredPosition& p) { return p.kl; });
  const Mean kl_mean = mean_of(kl);
  const Mean top1 = mean_of(values_of([](const ScoredPosition& p) { return p.agrees ? 1.0 : 0.0; }));
  const Mean reference = mean_of(values_of([](const ScoredPosition& p) { return p.reference_nll; }));
  std::sort(kl.begin(), kl.end());
  Divergence& d = out.divergence.emplace();
  d.kl_mean = kl_mean.mean;
  d.kl_stderr = kl_mean.standard_error;
  d.kl_p99 = kl[std::min(kl.size() - 1, static_cast<size_t>(0.99 * static_cast<double>(kl.size())))];
  d.kl_max = kl.back();
  d.top1_agreement = top1.mean;
  d.top1_stderr = top1.standard_error;
  d.reference_perplexity = std::exp(reference.mean);
  return out;
}

}  // namespace

double log_partition(std::span<const float> logits) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float v : logits) sum += static_cast<double>(std::exp(v - top));
  return static_cast<double>(top) + std::log(sum);
}

double finite_log_partition(std::span<const float> logits) {
  const double partition = log_partition(logits);
  if (!std::isfinite(partition)) throw_input("the model's logits are not finite: are there NaN or Inf in its weights?");
  return partition;
}

Mean mean_of(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  Mean out;
  for (const double v : values) out.mean += v;
  out.mean /= n;
  double squares = 0;
  for (const double v : values) squares += (v - out.mean) * (v - out.mean);
  if (values.size() > 1) out.standard_error = std::sqrt(squares / (n - 1) / n);
  return out;
}

PerplexityResult measure_perplexity(const Transformer& model, const Tokenizer& tokenizer, std::string_view text,
                                    const std::string& what, const Transformer* reference,
                                    const PerplexityOptions& options) {
  const size_t most = model.config().max_context;
  const size_t context = options.context != 0 ? options.context
                         : most != 0          ? std::min(kDefaultContext, most)
                                              : kDefaultContext;
  if (context < 4) throw_usage("{}: expected at least 4 tokens, found {}", option_name("context"), context);
  check_model(model, context);
  if (reference != nullptr) {
    check_model(*reference, context);
    if (reference->config().vocab_size != model.config().vocab_size) {
      throw_usage("{}: expected a model with the same vocabulary of {} tokens, found {}", option_name("reference"),
                  model.config().vocab_size, reference->config().vocab_size);
    }
  }
  std::vector<TokenId> tokens = tokenizer.encode(text, {.add_special = true, .parse_special = false});
  if (tokens.size() < context) {
    throw_usage("{}: expected at least one chunk of {} tokens ({}), found {} tokens", what, context,
                option_name("context"), tokens.size());
  }
  if (options.max_tokens != 0) {
    if (options.max_tokens < context) {
      throw_usage("{}: expected at least one chunk of {} tokens ({}), found {}", option_name("max_tokens"), context,
                  option_name("context"), options.max_tokens);
    }
    tokens.resize(std::min(tokens.size(), options.max_tokens));
  }
  const size_t chunks = tokens.size() / context, first = context / 2, scored = context - 1 - first;
  const size_t at_once = std::clamp<size_t>(kBatchTokens / context, 1, chunks);
  ChunkRunner runner(model, context, at_once);
  std::optional<ChunkRunner> reference_runner;
  if (reference != nullptr) reference_runner.emplace(*reference, context, at_once);

  std::vector<ScoredPosition> positions(chunks * scored);
  for (size_t chunk = 0; chunk < chunks; chunk += at_once) {
    std::vector<std::vector<TokenId>> batch;
    for (size_t c = chunk; c < std::min(chunks, chunk + at_once); ++c) {
      const auto begin = tokens.begin() + static_cast<ptrdiff_t>(c * context);
      std::vector<TokenId>& part = batch.emplace_back(begin, begin + static_cast<ptrdiff_t>(context));
      if (tokenizer.adds_bos() && tokenizer.bos()) part[0] = *tokenizer.bos();
    }
    const Matrix<float> hidden = runner.hidden(batch);
    Matrix<float> reference_hidden;
    if (reference_runner) reference_hidden = reference_runner->hidden(batch);
    for (size_t c = 0; c < batch.size(); ++c) {
      for (size_t at = 0; at < scored; at += kLogitRows) {
        const size_t rows = std::min(kLogitRows, scored - at), row = c * context + first + at;
        const Matrix<float> logits = runner.logits(hidden.view().row_range(row, rows));
        Matrix<float> truth;
        if (reference_runner) truth = reference_runner->logits(reference_hidden.view().row_range(row, rows));
        score(logits, reference_runner ? &truth : nullptr, std::span(batch[c]).subspan(first + at + 1, rows),
              std::span(positions).subspan((chunk + c) * scored + at, rows));
      }
    }
    if (options.progress) options.progress((chunk + batch.size()) * context, chunks * context);
  }
  PerplexityResult out = summarize(positions, reference != nullptr);
  out.chunks = chunks;
  return out;
}

}  // namespace occ
