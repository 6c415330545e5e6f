#include "tokenizer/tokenizer_pipeline.h"

#include <algorithm>
#include <array>

#include "tokenizer/unicode.h"
#include "tokenizer/unicode_normalization.h"

namespace occ {
namespace {

// Ids of words met before in one text.
constexpr size_t kMaxCachedBytes = 64;
constexpr size_t kMaxCachedWords = 1 << 20;

// The byte that "<0x0A>" stands for, or -1.
int fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = 16 * value + digit;
  }
  return value;
}

// Spaces that English does not have; per token, as the WordPiece decoder of `tokenizers` does it.
std::string clean_up(std::string text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kRules = {{{" .", "."},
                                                                                     {" ?", "?"},
                                                                                     {" !", "!"},
                                                                                     {" ,", ","},
                                                                                     {" ' ", "'"},
                                                                                     {" n't", "n't"},
                                                                                     {" 'm", "'m"},
                                                                                     {" do not", " don't"},
                                                                                     {" 's", "'s"},
                                                                                     {" 've", "'ve"},
                                                                                     {" 're", "'re"}}};
  for (const auto& [from, to] : kRules) text = replace_all(text, from, to);
  return text;
}

class Pipeline final : public Tokenizer {
 public:
  explicit Pipeline(TokenizerParts parts) : parts_(std::move(parts)) {
    for (const AddedToken& t : parts_.added) added_.add(t);
    for (const AddedToken& t : parts_.normalized) normalized_.add(t);
    tokens_ = parts_.vocabulary->tokens.size();
    for (const auto& [id, text] : parts_.added_text) tokens_ = std::max(tokens_, static_cast<size_t>(id) + 1);
    special_.resize(tokens_);
    for (const auto* list : {&parts_.added, &parts_.normalized}) {
      for (const AddedToken& t : *list) special_[static_cast<size_t>(t.id)] = t.special;
    }
    for (const auto& [id, text] : parts_.added_text) added_ids_.emplace(text, id);
    if (parts_.decoder.byte_level) {  // whose pieces are made when they are asked for, which needs no limit
      for (const auto& [id, text] : parts_.added_text) added_pieces_.insert_or_assign(id, text);
      return;
    }
    pieces_.resize(tokens_);
    size_t bytes = 0;
    for (const std::string& token : parts_.vocabulary->tokens) bytes += token.size();
    for (const auto& [id, text] : parts_.added_text) bytes += text.size();
    GrowthLimit limit(parts_.where, bytes);
    for (size_t i = 0; i < parts_.vocabulary->tokens.size(); ++i) {
      pieces_[i] = decoded(parts_.vocabulary->tokens[i], limit);
    }
    for (const auto& [id, text] : parts_.added_text) {
      pieces_[static_cast<size_t>(id)] = decoded(text, limit);
    }
  }

  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<TokenId> ids;
    if (options.add_special) ids = parts_.prefix;
    const std::string valid = replace_invalid_utf8(text);
    Cache cache;
    GrowthLimit limit(parts_.where, valid.size());
    for (const auto& part : added_.split(valid, options.parse_special)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
        continue;
      }
      std::string text_part = valid.substr(part.begin, part.end - part.begin);
      if (options.lowercase) text_part = to_lower(text_part);
      const std::string normal = normalize(parts_, std::move(text_part), limit);
      for (const auto& inner : normalized_.split(normal, options.parse_special)) {
        if (inner.id >= 0) {
          ids.push_back(inner.id);
        } else {
          Pieces pieces;
          pieces.text = normal.substr(inner.begin, inner.end - inner.begin);
          pieces.at_start = part.begin == 0 && inner.begin == 0;
          encode_pieces(std::move(pieces), limit, cache, ids);
        }
      }
    }
    if (options.add_special) ids.insert(ids.end(), parts_.suffix.begin(), parts_.suffix.end());
    return ids;
  }

  std::string piece(TokenId id, bool special) const override {
    const auto i = static_cast<size_t>(id);
    if (id < 0 || i >= tokens_) return "";
    if (special_[i] && !special) return "";
    if (!parts_.decoder.byte_level) return pieces_[i];
    const auto added = added_pieces_.find(id);
    if (added != added_pieces_.end()) return added->second;
    if (i >= parts_.vocabulary->tokens.size()) return "";
    const std::string& token = parts_.vocabulary->tokens[i];
    std::string bytes;
    return chars_to_bytes(token, bytes) ? bytes : token;
  }

  std::string decode(std::span<const TokenId> ids, bool special) const override {
    std::string out;
    for (const TokenId id : ids) out += piece(id, special);
    if ((parts_.decoder.drop_first_space || wordpiece()) && out.starts_with(' ')) out.erase(0, 1);
    return out;
  }

  size_t vocab_size() const override { return tokens_; }
  std::optional<TokenId> find(std::string_view token) const override {
    const auto it = added_ids_.find(token);
    return it != added_ids_.end() ? std::optional(it->second) : parts_.vocabulary->find(token);
  }
  std::optional<TokenId> bos() const override { return parts_.bos; }
  std::vector<TokenId> end_of_generation() const override { return parts_.end_of_generation; }
  bool adds_bos() const override { return parts_.bos && !parts_.prefix.empty() && parts_.prefix[0] == *parts_.bos; }
  size_t suffix_size() const override { return parts_.suffix.size(); }
  const std::string& chat_template() const override { return parts_.chat_template; }
  const std::string& tool_template() const override {
    return parts_.tool_template.empty() ? parts_.chat_template : parts_.tool_template;
  }
  std::vector<std::pair<std::string, std::string>> named_tokens() const override { return parts_.named_tokens; }

 private:
  struct Cache {
    struct Place {
      size_t begin, end;
    };
    StringMap<Place> places;
    std::vector<TokenId> ids;
  };

  bool wordpiece() const { return !parts_.decoder.continuation.empty(); }

  void encode_pieces(Pieces pieces, GrowthLimit& limit, Cache& cache, std::vector<TokenId>& ids) const {
    pieces.ranges = {{0, pieces.text.size()}};
    for (const PreTokenizer& p : parts_.pre_tokenizers) {
      p(pieces);
      limit.check(pieces.text.size());
    }
    limit.take(pieces.text.size());
    for (const auto& range : pieces.ranges) {
      const std::string_view word = pieces.piece(range);
      if (word.empty()) continue;
      if (word.size() > kMaxCachedBytes || cache.places.size() >= kMaxCachedWords) {
        parts_.model->encode(word, ids);
        continue;
      }
      auto it = cache.places.find(word);
      if (it == cache.places.end()) {
        const size_t begin = cache.ids.size();
        parts_.model->encode(word, cache.ids);
        it = cache.places.emplace(word, Cache::Place{begin, cache.ids.size()}).first;
      }
      for (size_t i = it->second.begin; i < it->second.end; ++i) ids.push_back(cache.ids[i]);
    }
  }

  std::string decoded(const std::string& token, GrowthLimit& limit) const {
    const TokenDecoder& d = parts_.decoder;
    if (d.byte_fallback) {
      const int byte = fallback_byte(token);
      if (byte >= 0) return std::string(1, static_cast<char>(byte));
    }
    std::string text = token;
    for (const auto& [from, to] : d.replace) {
      text = replace_all(text, from, to);
      limit.check(text.size());
    }
    limit.take(text.size());
    if (!wordpiece()) return text;
    text = text.starts_with(d.continuation) ? text.substr(d.continuation.size()) : " " + text;
    return d.clean_up ? clean_up(std::move(text)) : text;
  }

  TokenizerParts parts_;
  AddedTokens added_, normalized_;
  StringMap<TokenId> added_ids_;
  size_t tokens_ = 0;
  std::vector<std::string> pieces_;                        // what each token stands for; empty for byte_level
  std::unordered_map<TokenId, std::string> added_pieces_;  // the same of added tokens for byte_level
  std::vector<bool> special_;
};

}  // namespace

std::string normalize(const TokenizerParts& parts, std::string text, const GrowthLimit& limit) {
  for (const Normalizer& n : parts.normalizers) {
    text = n(std::move(text));
    limit.check(text.size());
  }
  return text;
}

std::unique_ptr<Tokenizer> make_pipeline(TokenizerParts parts) { return std::make_unique<Pipeline>(std::move(parts)); }

void add_end_of_turn_tokens(const std::vector<std::pair<TokenId, std::string>>& special, std::vector<TokenId>& ids) {
  constexpr std::array<std::string_view, 17> kEndOfTurn = {
      "<|im_end|>",      "<|eot_id|>",    "<|eom_id|>",      "<|end|>",
      "<end_of_turn>",   "<|endoftext|>", "<|end_of_text|>", "<|EOT|>",
      "<EOT>",           "_<EOT>",        "[EOT]",           "<｜end▁of▁sentence｜>",
      "<|end_of_turn|>", "<|eot|>",       "<eos>",           "<end_of_utterance>",
      "<turn|>"};
  for (const auto& [id, text] : special) {
    const bool ends = std::find(kEndOfTurn.begin(), kEndOfTurn.end(), text) != kEndOfTurn.end();
    if (ends && std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
}

}  // namespace occ
