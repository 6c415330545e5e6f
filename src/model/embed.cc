#include "model/embed.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "model/mended_file.h"
#include "model/sentence_modules.h"

namespace occ {
namespace {

constexpr size_t kTokensAtOnce = 4096;  // of one call of the encoder
constexpr size_t kTextsAtOnce = 64;

// Tokens of a text, cut to the length that the model takes.
std::vector<TokenId> cut_tokens(std::vector<TokenId> ids, const ModelConfig& config, const Tokenizer& tokenizer) {
  if (ids.size() <= config.max_text) return ids;
  const size_t suffix = std::min(tokenizer.suffix_size(), config.max_text);
  ids.erase(ids.begin() + static_cast<ptrdiff_t>(config.max_text - suffix), ids.end() - static_cast<ptrdiff_t>(suffix));
  return ids;
}

std::vector<TokenId> tokens_of(const std::string& text, const ModelConfig& config, const Tokenizer& tokenizer) {
  return cut_tokens(tokenizer.encode(text, {.lowercase = config.lowercase}), config, tokenizer);
}

// Vectors of texts that are no longer than the model takes.
Matrix<float> embed_cut(const Encoder& encoder, std::vector<std::vector<TokenId>> tokens, size_t prompt_tokens,
                        const EmbedOptions& options) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty())
      throw_input("text {}: expected one of at least one token, found none", options.texts_before + i + 1);
    if (options.tokens != nullptr) *options.tokens += tokens[i].size();
  }
  std::vector<size_t> order(tokens.size());  // longest first: what does not fit into memory fails at once
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tokens[a].size() > tokens[b].size(); });
  Matrix<float> out;
  for (size_t done = 0; done < order.size();) {
    std::vector<std::vector<TokenId>> batch;
    for (size_t n = 0; done + batch.size() < order.size() && batch.size() < kTextsAtOnce && n < kTokensAtOnce;) {
      batch.push_back(std::move(tokens[order[done + batch.size()]]));
      n += batch.back().size();
    }
    const Matrix<float> rows = encoder.embed(batch, prompt_tokens);
    if (done == 0) out = Matrix<float>::uninitialized(order.size(), rows.cols());
    OCC_CHECK(rows.shape() == (Shape{batch.size(), out.cols()}));
    for (size_t i = 0; i < batch.size(); ++i) std::copy_n(rows.row(i), rows.cols(), out.row(order[done + i]));
    done += batch.size();
    if (options.progress) options.progress(done, order.size());
  }
  for (size_t r = 0; r < out.rows(); ++r) {
    if (std::all_of(out.row(r), out.row(r) + out.cols(), [](float v) { return std::isfinite(v); })) continue;
    throw_input("text {}: its vector has NaN or Inf: are there such weights in the model?",
                options.texts_before + r + 1);
  }
  if (options.normalize) scale_to_unit_length(out.view());
  return out;
}

}  // namespace

Matrix<float> embed_texts(const Encoder& encoder, const Tokenizer& tokenizer, std::span<const std::string> texts,
                          const EmbedOptions& options) {
  const ModelConfig& config = encoder.config();
  std::vector<std::vector<TokenId>> tokens(texts.size());
  parallel_for(ceil_div(texts.size(), kTextsAtOnce), [&](size_t p) {
    for (size_t i = p * kTextsAtOnce; i < std::min(texts.size(), (p + 1) * kTextsAtOnce); ++i) {
      tokens[i] = tokens_of(options.prompt + texts[i], config, tokenizer);
    }
  });
  size_t prompt_tokens = 0;
  if (!options.prompt.empty() && !config.pools_prompt) {
    prompt_tokens = tokens_of(options.prompt, config, tokenizer).size();
    prompt_tokens -= std::min<size_t>(tokenizer.suffix_size(), 1);
  }
  return embed_cut(encoder, std::move(tokens), prompt_tokens, options);
}

Matrix<float> embed_tokens(const Encoder& encoder, const Tokenizer& tokenizer, std::vector<std::vector<TokenId>> texts,
                           const EmbedOptions& options) {
  for (std::vector<TokenId>& ids : texts) ids = cut_tokens(std::move(ids), encoder.config(), tokenizer);
  return embed_cut(encoder, std::move(texts), 0, options);
}

EncoderModel open_encoder(const std::string& path, const TransformerOptions& options) {
  EncoderModel m;
  m.file = open_model_file(path);
  m.encoder = load_encoder(*m.file, options);
  m.tokenizer = make_tokenizer(*m.file);
  return m;
}

}  // namespace occ
