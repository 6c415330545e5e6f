// Causal language models, which compute hidden states and logits from tokens with a KV cache, and BERT-type encoders,
// which compute embeddings of texts. Weights are Operators, so the same code runs checkpoints and archives.
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

// BERT-type encoders.
class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual const ModelConfig& config() const = 0;
  // Embeddings [texts.size(), dim, or what the modules behind the pooling make of it]: of the last hidden states of a text either the mean over its tokens or the first
  // token's, as config().pooling says. A text of more than max_text tokens is cut, but keeps its last token. Throws an
  // input error for a text without tokens and for a token outside the vocabulary.
  virtual Matrix<float> embed(std::span<const std::vector<TokenId>> texts) const = 0;
  virtual uint64_t weight_bytes() const = 0;
};
// As load_transformer, for an encoder.
std::unique_ptr<Encoder> load_encoder(const TensorFile& file, const TransformerOptions& options = {});

// Whether the model of `file` is an encoder (load_encoder) or a causal model (load_transformer).
bool is_encoder(const TensorFile& file);

}  // namespace occ
