// Causal language models, which compute hidden states and logits from tokens with a KV cache, and encoders, which
// compute vectors of texts. Weights are Operators, so the same code runs checkpoints and archives.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/kv_cache.h"
#include "model/transformer_options.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

// New tokens of one sequence. Their positions begin at cache->length(), and they are added to the cache.
struct Sequence {
  std::span<const TokenId> tokens;
  KvCache* cache = nullptr;
};

class Transformer {
 public:
  virtual ~Transformer() = default;
  virtual const ModelConfig& config() const = 0;
  // An empty cache for up to `capacity` tokens. Throws a usage error if the model cannot take so many tokens: if its
  // positions are learned or its rotary scaling is dynamic, and max_context is smaller.
  virtual std::unique_ptr<KvCache> make_cache(size_t capacity) const = 0;
  // Hidden states after the final norm [tokens of all sequences, dim], one sequence after the other. Every sequence
  // must have its own cache, made by make_cache. Throws a usage error if a cache is too small and an input error for a
  // token outside the vocabulary; then no cache has changed.
  virtual Matrix<float> hidden(std::span<const Sequence> sequences) const = 0;
  // Computes the logits out [n, vocab_size] of hidden [n, dim].
  virtual void logits(MatrixView<const float> hidden, MatrixView<float> out) const = 0;
  virtual uint64_t weight_bytes() const = 0;  // memory of the matrices, in bytes
};

// `file` must outlive the model. Throws an input error that names file and tensor if a tensor is missing or has another
// shape than the configuration says, and one if the model is an encoder.
std::unique_ptr<Transformer> load_transformer(const TensorFile& file, const TransformerOptions& options = {});

// A model that makes vectors of texts.
class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual const ModelConfig& config() const = 0;
  // Vectors of texts [texts.size(), width]: the last hidden states of the tokens of a text, pooled, after the modules
  // behind the pooling (SentenceHead). prompt_tokens: number of tokens at the beginning of every text that are a prompt.
  // An encoder cuts a text of more than max_text tokens, but keeps its last token. Throws an input error for a text
  // without tokens and for a token outside the vocabulary. Thread-safe.
  virtual Matrix<float> embed(std::span<const std::vector<TokenId>> texts, size_t prompt_tokens) const = 0;
  Matrix<float> embed(std::span<const std::vector<TokenId>> texts) const { return embed(texts, 0); }
  virtual uint64_t weight_bytes() const = 0;
};
// As load_transformer, for an encoder, or for a causal model, whose hidden states then are pooled.
std::unique_ptr<Encoder> load_encoder(const TensorFile& file, const TransformerOptions& options = {});
// An encoder that uses a causal model, which must outlive it. `file`: that of the model.
std::unique_ptr<Encoder> make_causal_encoder(const Transformer& model, const TensorFile& file);

// Whether the model of `file` sees texts in both directions (load_encoder) or is causal (load_transformer).
bool is_encoder(const TensorFile& file);

}  // namespace occ
