// BERT-type encoders, computed with the layers of block.h. E, P and T are the embeddings of tokens, positions and
// types; models with rotary positions have no P, some have no T.
//
//   x = norm(E[token] + P[position] + T[0])
//   per layer  x = norm(x + attention(x));  x = norm(x + mlp(x))
//   embedding = x of the tokens of a text, pooled; then the modules behind the pooling
#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "model/block.h"
#include "model/kernels.h"
#include "model/sentence_modules.h"
#include "model/transformer.h"

namespace occ {
namespace {

constexpr size_t kTextTokens = 1024;  // tokens that go through a layer together (a text is never cut)

class PlainEncoder final : public Encoder {
 public:
  PlainEncoder(const TensorFile& file, const TransformerOptions& options);

  const ModelConfig& config() const override { return config_; }
  Matrix<float> embed(std::span<const std::vector<TokenId>> texts, size_t prompt_tokens) const override;
  uint64_t weight_bytes() const override;

 private:
  std::vector<uint32_t> cut(const std::vector<TokenId>& text) const;
  // Last hidden states [tokens of all texts, dim].
  Matrix<float> hidden(std::span<const std::vector<uint32_t>> texts) const;

  ModelConfig config_;
  TransformerOptions options_;
  Linear embedding_, positions_;
  std::vector<float> token_type_;  // of type 0
  NormWeights embedding_norm_;
  std::vector<Layer> layers_;
  Rope rope_;
  SentenceHead head_;
};

PlainEncoder::PlainEncoder(const TensorFile& file, const TransformerOptions& options)
    : config_(read_config(file)), options_(options) {
  OCC_CHECK(config_.encoder);
  WeightLoader loader(file, config_, options.arithmetic);
  const TensorNames& names = loader.names();
  embedding_ = loader.embedding(names.token_embedding, config_.vocab_size, config_.dim);
  if (config_.position == Position::kLearned) {
    positions_ = loader.embedding(names.position_embedding, config_.learned_positions(), config_.dim);
  } else {
    read_rope_factors(loader, config_);
    rope_ = Rope(config_, false);
  }
  token_type_ = loader.has_token_types() ? loader.first_row(names.token_type_embedding, config_.dim)
                                         : std::vector<float>(config_.dim);
  embedding_norm_ = loader.norm(names.embedding_norm, config_.dim);
  layers_ = loader.layers();
  head_ = SentenceHead(file, config_);
}

// Like the tokenizers' truncation: what is at the end of a text ([SEP]) stays.
std::vector<uint32_t> PlainEncoder::cut(const std::vector<TokenId>& text) const {
  if (text.empty()) throw_input("text to embed: expected at least one token, found none");
  std::vector<uint32_t> out;
  for (const TokenId token : text) {
    if (token < 0 || static_cast<size_t>(token) >= config_.vocab_size) {
      throw_input("token {}: expected an id below {}, the size of the model's vocabulary", token, config_.vocab_size);
    }
    out.push_back(static_cast<uint32_t>(token));
  }
  const size_t limit = config_.max_text;
  if (out.size() > limit) {
    out[limit - 1] = out.back();
    out.resize(limit);
  }
  return out;
}

Matrix<float> PlainEncoder::hidden(std::span<const std::vector<uint32_t>> texts) const {
  std::vector<uint32_t> tokens, positions;
  std::vector<Segment> segments;
  std::vector<PlainKvCache> caches;
  caches.reserve(texts.size());
  for (const std::vector<uint32_t>& text : texts) {
    caches.emplace_back(1, config_.kv_heads, config_.head_dim, text.size(), false);
    segments.push_back({tokens.size(), text.size(), 0, &caches.back()});
    tokens.insert(tokens.end(), text.begin(), text.end());
    for (size_t t = 0; t < text.size(); ++t) positions.push_back(static_cast<uint32_t>(config_.position_offset + t));
  }
  const size_t n = tokens.size();
  Matrix<float> x = Matrix<float>::uninitialized(n, config_.dim);
  BlockBuffers buffers(config_, n);
  embedding_.weight->rows(tokens, x.view());
  const MatrixView<float> at = buffers.output(n);
  if (positions_) {
    positions_.weight->rows(positions, at);
  } else {
    buffers.rotations = Matrix<float>::uninitialized(n, config_.rotary_dim);
    for (size_t t = 0; t < n; ++t) {
      rope_.table_row(positions[t], buffers.rotations.row(t));
      std::fill_n(at.row(t), config_.dim, 0.0f);
    }
  }
  add_and_normalize(config_, std::array{Addend{at, token_type_.data()}}, embedding_norm_, x.view(), x.view());
  // Caches have one layer, number 0, which every layer of the model uses in turn.
  for (const Layer& layer : layers_) {
    run_layer(config_, layer, 0, segments, layer.mlp_norm, x.view(), x.view(), buffers, options_);
  }
  return x;
}

Matrix<float> PlainEncoder::embed(std::span<const std::vector<TokenId>> texts, size_t prompt_tokens) const {
  Matrix<float> out(texts.size(), config_.dim);
  std::vector<std::vector<uint32_t>> batch;
  for (size_t done = 0; done < texts.size(); done += batch.size()) {
    batch.clear();
    for (size_t tokens = 0; done + batch.size() < texts.size() && tokens < kTextTokens; tokens += batch.back().size()) {
      batch.push_back(cut(texts[done + batch.size()]));
    }
    const Matrix<float> x = hidden(batch);
    size_t row = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      head_.pool(x.view().row_range(row, batch[i].size()), prompt_tokens, out.row(done + i));
      row += batch[i].size();
    }
  }
  return head_.finish(std::move(out));
}

uint64_t PlainEncoder::weight_bytes() const {
  uint64_t bytes = embedding_.weight->resident_bytes();
  if (positions_) bytes += positions_.weight->resident_bytes();
  for (const Layer& layer : layers_) bytes += layer_bytes(layer);
  return bytes;
}

}  // namespace

std::unique_ptr<Encoder> load_plain_encoder(const TensorFile& file, const TransformerOptions& options) {
  return std::make_unique<PlainEncoder>(file, options);
}

}  // namespace occ
