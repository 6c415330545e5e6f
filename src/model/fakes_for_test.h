// A tokenizer of bytes and a model whose logits depend on the last token only, for exact expectations.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace occ {

inline constexpr TokenId kFakeBos = 256;
inline constexpr size_t kFakeVocab = 257;

class ByteTokenizer final : public Tokenizer {
 public:
  explicit ByteTokenizer(bool adds_end = false) : adds_end_(adds_end) {}
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<TokenId> ids;
    if (options.add_special) ids.push_back(kFakeBos);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    if (options.add_special && adds_end_) ids.push_back(0);
    return ids;
  }
  std::string piece(TokenId id, bool) const override {
    return id == kFakeBos ? std::string() : std::string(1, static_cast<char>(id));
  }
  std::string decode(std::span<const TokenId> ids, bool special) const override {
    std::string out;
    for (const TokenId id : ids) out += piece(id, special);
    return out;
  }
  size_t vocab_size() const override { return kFakeVocab; }
  std::optional<TokenId> find(std::string_view) const override { return std::nullopt; }
  std::optional<TokenId> bos() const override { return kFakeBos; }
  std::vector<TokenId> end_of_generation() const override { return {0}; }
  bool adds_bos() const override { return true; }
  size_t suffix_size() const override { return adds_end_ ? 1 : 0; }
  const std::string& chat_template() const override { return template_; }

 private:
  const bool adds_end_;
  std::string template_;
};

// logit(next | last) = table(last, next).
class BigramModel final : public Transformer {
 public:
  using TableFn = std::function<float(TokenId last, TokenId next)>;
  explicit BigramModel(TableFn table, size_t max_context = 4096) : table_(std::move(table)) {
    config_.vocab_size = kFakeVocab;
    config_.dim = 1;
    config_.max_context = max_context;
  }
  const ModelConfig& config() const override { return config_; }
  std::unique_ptr<KvCache> make_cache(size_t capacity) const override { return std::make_unique<Cache>(capacity); }
  Matrix<float> hidden(std::span<const Sequence> sequences) const override {
    std::vector<float> rows;
    for (const Sequence& s : sequences) {
      auto& cache = static_cast<Cache&>(*s.cache);
      cache.length_ += s.tokens.size();
      OCC_CHECK(cache.length_ <= cache.capacity_);
      for (const TokenId t : s.tokens) rows.push_back(static_cast<float>(t));
      tokens_seen_.insert(tokens_seen_.end(), s.tokens.begin(), s.tokens.end());
    }
    Matrix<float> out(rows.size(), 1);
    std::copy(rows.begin(), rows.end(), out.data());
    return out;
  }
  void logits(MatrixView<const float> hidden, MatrixView<float> out) const override {
    for (size_t r = 0; r < hidden.rows(); ++r) {
      for (size_t v = 0; v < kFakeVocab; ++v) {
        out(r, v) = table_(static_cast<TokenId>(hidden(r, 0)), static_cast<TokenId>(v));
      }
    }
  }
  uint64_t weight_bytes() const override { return 0; }
  const std::vector<TokenId>& tokens_seen() const { return tokens_seen_; }

 private:
  struct Cache final : KvCache {
    explicit Cache(size_t capacity) : capacity_(capacity) {}
    size_t length() const override { return length_; }
    size_t capacity() const override { return capacity_; }
    void truncate(size_t length) override { length_ = length; }
    void copy(const KvCache&, size_t length) override { length_ = length; }
    Matrix<float> keys(size_t) const override { return {}; }
    Matrix<float> values(size_t) const override { return {}; }
    size_t capacity_, length_ = 0;
  };
  ModelConfig config_;
  TableFn table_;
  mutable std::vector<TokenId> tokens_seen_;
};

}  // namespace occ
