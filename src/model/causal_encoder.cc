// Vectors of texts from a causal model (Qwen3-Embedding, arXiv 2506.05176): the hidden states after the final norm are
// pooled, usually to that of the last token, which has seen all others.
#include <algorithm>

#include "base/error.h"
#include "model/sentence_modules.h"
#include "model/transformer.h"

namespace occ {

std::unique_ptr<Encoder> load_plain_encoder(const TensorFile& file, const TransformerOptions& options);

namespace {

constexpr size_t kTextBatchTokens = 1024;  // tokens that go through the model together (a text is never cut)

class CausalEncoder final : public Encoder {
 public:
  CausalEncoder(const Transformer& model, const TensorFile& file, std::unique_ptr<Transformer> owned)
      : owned_(std::move(owned)), model_(model), head_(file, model.config()) {}

  const ModelConfig& config() const override { return model_.config(); }
  Matrix<float> embed(std::span<const std::vector<TokenId>> texts, size_t prompt_tokens) const override;
  uint64_t weight_bytes() const override { return model_.weight_bytes(); }

 private:
  std::unique_ptr<Transformer> owned_;  // or null if the caller keeps it
  const Transformer& model_;
  SentenceHead head_;
};

Matrix<float> CausalEncoder::embed(std::span<const std::vector<TokenId>> texts, size_t prompt_tokens) const {
  Matrix<float> out(texts.size(), config().dim);
  for (size_t done = 0; done < texts.size();) {
    std::vector<std::vector<TokenId>> batch;
    std::vector<std::unique_ptr<KvCache>> caches;
    std::vector<Sequence> sequences;
    size_t tokens = 0;
    while (done + batch.size() < texts.size() && tokens < kTextBatchTokens) {
      const std::vector<TokenId>& text = batch.emplace_back(texts[done + batch.size()]);
      if (text.empty()) throw_input("text to embed: expected at least one token, found none");
      tokens += text.size();
    }
    for (const std::vector<TokenId>& text : batch) {
      caches.push_back(model_.make_cache(text.size()));
      sequences.push_back({text, caches.back().get()});
    }
    const Matrix<float> x = model_.hidden(sequences);
    size_t row = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      head_.pool(x.view().row_range(row, batch[i].size()), prompt_tokens, out.row(done + i));
      row += batch[i].size();
    }
    done += batch.size();
  }
  return head_.finish(std::move(out));
}

}  // namespace

std::unique_ptr<Encoder> make_causal_encoder(const Transformer& model, const TensorFile& file) {
  return std::make_unique<CausalEncoder>(model, file, nullptr);
}

std::unique_ptr<Encoder> load_encoder(const TensorFile& file, const TransformerOptions& options) {
  if (is_encoder(file)) return load_plain_encoder(file, options);
  std::unique_ptr<Transformer> model = load_transformer(file, options);
  const Transformer& used = *model;
  return std::make_unique<CausalEncoder>(used, file, std::move(model));
}

}  // namespace occ
