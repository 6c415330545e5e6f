// Causal language models, computed with the layers of block.h.
//
//   x = a E[token] (+ P[position])
//   per layer  x += b norm(attention(norm(x)));  x += b norm(mlp(norm(x)))   (parallel_residual: both from the same x)
//   hidden = norm(x);  logits = cap(c hidden H^T)
//
// E, P and H are the token embedding, the position embedding and the head. Most models have only some of these norms, no
// cap and factors a = b = c = 1. The tokens of all sequences go through a
// layer together, at most kChunkTokens at a time. So the matrix products are large enough, and the activations need little
// memory.
#include "model/transformer.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"
#include "model/block.h"
#include "model/kernels.h"

namespace occ {
namespace {

constexpr size_t kChunkTokens = 1024;

class PlainTransformer final : public Transformer {
 public:
  PlainTransformer(const TensorFile& file, const TransformerOptions& options);

  const ModelConfig& config() const override { return config_; }
  std::unique_ptr<KvCache> make_cache(size_t capacity) const override;
  Matrix<float> hidden(std::span<const Sequence> sequences) const override;
  void logits(MatrixView<const float> hidden, MatrixView<float> out) const override;
  uint64_t weight_bytes() const override;

 private:
  size_t check(std::span<const Sequence> sequences) const;
  // x [tokens of the segments, dim] -> out, both final.
  void run(std::span<const Segment> segments, MatrixView<float> x, MatrixView<float> out) const;

  ModelConfig config_;
  TransformerOptions options_;
  Linear embedding_, positions_, head_;  // head_ is empty if embeddings are tied
  NormWeights final_norm_;
  std::vector<Layer> layers_;
  Rope rope_, long_rope_, local_rope_;
};

PlainTransformer::PlainTransformer(const TensorFile& file, const TransformerOptions& options)
    : config_(read_config(file)), options_(options) {
  if (config_.encoder) {
    throw_input("{}: expected a causal language model, found the encoder '{}'", file.path(), config_.architecture);
  }
  WeightLoader loader(file, config_, options.arithmetic);
  const TensorNames& names = loader.names();
  embedding_ = loader.embedding(names.token_embedding, config_.vocab_size, config_.dim);
  if (config_.position == Position::kLearned) {
    positions_ = loader.embedding(names.position_embedding, config_.learned_positions(), config_.dim);
  }
  layers_ = loader.layers();
  final_norm_ = loader.norm(names.final_norm, config_.dim);
  if (!config_.tied_embeddings) head_ = loader.head();
  if (config_.position == Position::kRotary) {
    read_rope_factors(loader, config_);
    rope_ = Rope(config_, false);
    long_rope_ = Rope(config_, true);
    for (const LayerKind& kind : config_.layer_kinds) {
      if (kind.local_rope) local_rope_ = Rope::local(config_);
    }
  }
}

std::unique_ptr<KvCache> PlainTransformer::make_cache(size_t capacity) const {
  const bool bounded = config_.position == Position::kLearned || config_.rope_scaling == RopeScaling::kDynamic;
  if (bounded && capacity > config_.max_context) {
    throw_usage("context: expected at most {} tokens (positions of the model), found {}", config_.max_context,
                capacity);
  }
  return std::make_unique<PlainKvCache>(config_.layers, config_.kv_heads, config_.head_dim, capacity,
                                        options_.arithmetic == Arithmetic::kInt8);
}

// Everything that input can get wrong, before anything is changed. Returns the number of tokens.
size_t PlainTransformer::check(std::span<const Sequence> sequences) const {
  size_t total = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Sequence& s = sequences[i];
    const auto* cache = dynamic_cast<const PlainKvCache*>(s.cache);
    OCC_CHECK(cache != nullptr && cache->fits(config_.layers, config_.kv_heads, config_.head_dim));
    for (size_t j = 0; j < i; ++j) OCC_CHECK(sequences[j].cache != s.cache);
    if (s.tokens.size() > cache->capacity() - cache->length()) {
      throw_usage("context: expected at most {} tokens, found {}", cache->capacity(),
                  cache->length() + s.tokens.size());
    }
    for (const TokenId token : s.tokens) {
      if (token < 0 || static_cast<size_t>(token) >= config_.vocab_size) {
        throw_input("token {}: expected an id below {}, the size of the model's vocabulary", token, config_.vocab_size);
      }
    }
    total += s.tokens.size();
  }
  return total;
}

Matrix<float> PlainTransformer::hidden(std::span<const Sequence> sequences) const {
  Matrix<float> out = Matrix<float>::uninitialized(check(sequences), config_.dim);
  Matrix<float> x = Matrix<float>::uninitialized(std::min(out.rows(), kChunkTokens), config_.dim);
  std::vector<Segment> segments;
  std::vector<uint32_t> tokens, positions;
  size_t done = 0;
  const auto flush = [&] {
    if (tokens.empty()) return;
    const MatrixView<float> rows = x.view().row_range(0, tokens.size());
    embedding_.weight->rows(tokens, rows);
    scale_and_cap(config_.embedding_scale, 0, rows);
    const MatrixView<float> to = out.view().row_range(done, tokens.size());
    if (positions_) {
      positions_.weight->rows(positions, to);  // as scratch
      add_and_normalize(config_, std::array{Addend{to}}, final_norm_, rows, {});
    }
    run(segments, rows, to);
    done += tokens.size();
    segments.clear();
    tokens.clear();
    positions.clear();
  };
  for (const Sequence& s : sequences) {
    for (size_t i = 0; i < s.tokens.size();) {
      const size_t count = std::min(s.tokens.size() - i, kChunkTokens - tokens.size());
      const size_t position = s.cache->length() + i;
      segments.push_back({tokens.size(), count, position, static_cast<PlainKvCache*>(s.cache)});
      for (size_t t = 0; t < count; ++t) {
        tokens.push_back(static_cast<uint32_t>(s.tokens[i + t]));
        positions.push_back(static_cast<uint32_t>(config_.position_offset + position + t));
      }
      i += count;
      if (tokens.size() == kChunkTokens) flush();
    }
  }
  flush();
  for (const Sequence& s : sequences) {
    static_cast<PlainKvCache*>(s.cache)->set_length(s.cache->length() + s.tokens.size());
  }
  return out;
}

void PlainTransformer::run(std::span<const Segment> segments, MatrixView<float> x, MatrixView<float> out) const {
  const size_t n = x.rows();
  BlockBuffers buffers(config_, n);
  if (config_.position == Position::kRotary) {
    buffers.rotations = Matrix<float>::uninitialized(n, config_.rotary_dim);
    for (const Segment& s : segments) {
      const Rope& rope = s.cache->capacity() > config_.rope_original_context ? long_rope_ : rope_;
      for (size_t t = 0; t < s.count; ++t) rope.table_row(s.position + t, buffers.rotations.row(s.row + t));
    }
  }
  if (local_rope_.pairs() != 0) {
    buffers.local_rotations = Matrix<float>::uninitialized(n, config_.rotary_dim);
    for (const Segment& s : segments) {
      for (size_t t = 0; t < s.count; ++t) {
        local_rope_.table_row(s.position + t, buffers.local_rotations.row(s.row + t));
      }
    }
  }
  normalize(config_, layers_[0].attention_norm, x, out);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const NormWeights& next = l + 1 < layers_.size() ? layers_[l + 1].attention_norm : final_norm_;
    run_layer(config_, layers_[l], l, segments, next, x, out, buffers, options_);
  }
}

void PlainTransformer::logits(MatrixView<const float> hidden, MatrixView<float> out) const {
  (head_ ? head_ : embedding_).apply(hidden, out, options_);
  scale_and_cap(config_.logit_scale, config_.logit_softcap, out);
}

uint64_t PlainTransformer::weight_bytes() const {
  uint64_t bytes = 0;
  for (const Linear* l : {&embedding_, &positions_, &head_}) {
    if (*l) bytes += l->weight->resident_bytes();
  }
  for (const Layer& layer : layers_) bytes += layer_bytes(layer);
  return bytes;
}

}  // namespace

std::unique_ptr<Transformer> load_transformer(const TensorFile& file, const TransformerOptions& options) {
  return std::make_unique<PlainTransformer>(file, options);
}

bool is_encoder(const TensorFile& file) { return read_config(file).encoder; }

}  // namespace occ
