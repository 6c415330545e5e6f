// Causal language models: tokens -> hidden states -> logits, with a KV cache. Weights are Operators, so one code runs
// checkpoints and archives.
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

// New tokens of one sequence; they stand at positions cache->length() on and are added to it.
struct Sequence {
  std::span<const TokenId> tokens;
  KvCache* cache = nullptr;
};

class Transformer {
 public:
  virtual ~Transformer() = default;
  virtual const ModelConfig& config() const = 0;
  virtual std::unique_ptr<KvCache> make_cache(size_t capacity) const = 0;
  // Hidden states after the final norm [all tokens, dim], sequence after sequence. Usage error if a cache is too small;
  // input error for a token outside the vocabulary.
  virtual Matrix<float> hidden(std::span<const Sequence> sequences) const = 0;
  // hidden [n, dim] -> out [n, vocab_size].
  virtual void logits(MatrixView<const float> hidden, MatrixView<float> out) const = 0;
  virtual uint64_t weight_bytes() const = 0;  // resident, of all operators
};

// `file` must outlive the model. Input error naming file and tensor if a tensor is missing or has another shape.
std::unique_ptr<Transformer> load_transformer(const TensorFile& file, const TransformerOptions& options = {});

// BERT-type encoders.
class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual const ModelConfig& config() const = 0;
  // Mean over tokens of the last hidden states, [texts.size(), dim]; texts longer than max_context are cut.
  virtual Matrix<float> embed(std::span<const std::vector<TokenId>> texts) const = 0;
  virtual uint64_t weight_bytes() const = 0;
};
std::unique_ptr<Encoder> load_encoder(const TensorFile& file, const TransformerOptions& options = {});

// Whether the model of `file` is an encoder (load_encoder) or causal (load_transformer).
bool is_encoder(const TensorFile& file);

}  // namespace occ
