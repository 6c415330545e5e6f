// Reads a tokenizer from GGUF metadata (tokenizer.ggml.*). tokenizer.ggml.model is "gpt2" (BPE with the patterns that
// tokenizer.ggml.pre names; "gemma4" and "whitespace" are such ones), "llama" (SentencePiece's BPE, whose merges follow
// from scores), "t5" (SentencePiece's Unigram), "bert" (WordPiece) or "rwkv" (the longest token counts). The format does
// not mention Unicode normalization. As in llama.cpp, none is done for BPE.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "io/gguf_metadata.h"
#include "io/json.h"
#include "tokenizer/bpe.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/gguf_patterns.h"
#include "tokenizer/token_types.h"
#include "tokenizer/tokenizer_pipeline.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_normalization.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

namespace occ {
namespace {

// The bytes that RWKV writes with escapes such as \n, \x0a and \'.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    int value = 0;
    if (c == 'x' && i + 2 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 1] + 2, value, 16).ptr == &text[i + 1] + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
    }
  }
  return out;
}

class GgufTokenizer {
 public:
  GgufTokenizer(const GgufMetadata& metadata, const std::string& what, bool sentencepiece)
      : metadata_(metadata), what_(what), sentencepiece_(sentencepiece) {}

  TokenizerParts read() {
    const std::string* model = metadata_.string("tokenizer.ggml.model");
    if (model == nullptr) throw_input("{}: expected a vocabulary (tokenizer.ggml.model), found none", what_);
    parts_.where = what_;
    read_vocabulary();
    if (*model == "gpt2" || *model == "gemma4" || *model == "whitespace") {
      read_bpe(*model);
    } else if (*model == "t5") {
      read_unigram();
    } else if (*model == "rwkv") {
      read_rwkv();
    } else if (*model == "llama") {
      read_sentencepiece();
    } else if (*model == "bert") {
      read_wordpiece();
    } else {
      throw_input("{}: tokenizer.ggml.model: expected gpt2, gemma4, whitespace, llama, t5, bert or rwkv, found '{}'",
                  what_, printable(*model));
    }
    if (const std::string* text = metadata_.string("tokenizer.chat_template")) {
      if (!is_valid_utf8(*text)) throw_input("{}: tokenizer.chat_template: expected UTF-8", what_);
      parts_.chat_template = *text;
    }
    const std::string* tool_text = metadata_.string("tokenizer.chat_template.tool_use");
    if (tool_text != nullptr && is_valid_utf8(*tool_text)) parts_.tool_template = *tool_text;
    name_tokens();
    return std::move(parts_);
  }

 private:
  template <typename T>
  const std::vector<T>& list(const char* key, size_t size) const {
    const auto* items = metadata_.items<T>(key);
    if (items == nullptr) throw_input("{}: {}: expected an array, found none of the right type", what_, key);
    if (items->size() != size) throw_input("{}: {}: expected {} items, found {}", what_, key, size, items->size());
    return *items;
  }

  bool is(size_t id, int32_t type) const { return !types_.empty() && types_[id] == type; }

  void read_vocabulary() {
    const auto* tokens = metadata_.items<std::string>("tokenizer.ggml.tokens");
    if (tokens == nullptr || tokens->empty()) {
      throw_input("{}: tokenizer.ggml.tokens: expected an array of strings, found none", what_);
    }
    parts_.vocabulary->tokens = *tokens;
    parts_.vocabulary->reserve(tokens->size());
    for (size_t i = 0; i < tokens->size(); ++i) {
      const std::string& text = (*tokens)[i];
      if (!is_valid_utf8(text))
        throw_input("{}: tokenizer.ggml.tokens[{}]: expected UTF-8, found '{}'", what_, i, printable(text));
      // A text that stands twice is encoded as its last id, as in llama.cpp; both ids are decoded.
      if (!text.empty()) parts_.vocabulary->index(static_cast<TokenId>(i));
    }
    if (metadata_.find("tokenizer.ggml.token_type") != nullptr) {
      types_ = list<int32_t>("tokenizer.ggml.token_type", tokens->size());
    }
    for (size_t i = 0; i < types_.size(); ++i) {
      const bool special = is(i, kUnknownToken) || is(i, kControlToken);
      if ((!special && !is(i, kUserDefinedToken)) || (*tokens)[i].empty()) continue;
      AddedToken token;
      token.id = static_cast<TokenId>(i);
      token.content = (*tokens)[i];
      token.special = special;
      if (special) parts_.added_text.emplace_back(token.id, token.content);
      // SentencePiece itself looks for user-defined pieces after its normalization, which does not see them as ends.
      (sentencepiece_ && !special ? parts_.normalized : parts_.added).push_back(std::move(token));
    }
    strip_phi3();
  }

  // Phi-3's tokens take the white space behind them, which the format does not say.
  void strip_phi3() {
    const std::string* name = metadata_.string("general.name");
    std::string lower = name == nullptr ? "" : *name;
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    if (lower.find("phi-3") == std::string::npos && lower.find("phi3") == std::string::npos) return;
    for (AddedToken& t : parts_.added) {
      t.rstrip = t.content != "<unk>" && t.content != "<s>" && t.content != "<|endoftext|>";
    }
  }

  std::optional<TokenId> id(const char* key, std::optional<TokenId> otherwise = std::nullopt) const {
    if (metadata_.find(key) == nullptr) return otherwise;
    const auto value = metadata_.uint(key);
    const size_t count = parts_.vocabulary->tokens.size();
    if (!value || *value >= count) {
      throw_input("{}: {}: expected an id below {}, found {}", what_, key, count,
                  value ? std::to_string(*value) : "no whole number");
    }
    return static_cast<TokenId>(*value);
  }

  bool flag(const char* key, bool otherwise) const { return metadata_.boolean(key).value_or(otherwise); }

  void read_special_ids(bool add_bos, bool add_eos = false) {
    parts_.bos = id("tokenizer.ggml.bos_token_id");
    const auto eos = id("tokenizer.ggml.eos_token_id");
    auto& ends = parts_.end_of_generation;
    for (const char* key :
         {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
      const auto end = id(key);
      if (end && std::find(ends.begin(), ends.end(), *end) == ends.end()) ends.push_back(*end);
    }
    std::vector<std::pair<TokenId, std::string>> special;
    for (const AddedToken& t : parts_.added) special.emplace_back(t.id, t.content);
    add_end_of_turn_tokens(special, ends);
    if (parts_.bos && flag("tokenizer.ggml.add_bos_token", add_bos)) parts_.prefix = {*parts_.bos};
    if (eos && flag("tokenizer.ggml.add_eos_token", add_eos)) parts_.suffix = {*eos};
  }

  // What templates know special tokens by.
  void name_tokens() {
    constexpr std::pair<const char*, const char*> kNames[] = {
        {"bos_token", "bos"},       {"eos_token", "eos"}, {"unk_token", "unknown"}, {"pad_token", "padding"},
        {"sep_token", "seperator"}, {"cls_token", "cls"}, {"mask_token", "mask"}};
    const auto* tokens = metadata_.items<std::string>("tokenizer.ggml.tokens");
    for (const auto& [name, key] : kNames) {
      const auto token = id(fmt::format("tokenizer.ggml.{}_token_id", key).c_str());
      if (token) parts_.named_tokens.emplace_back(name, (*tokens)[static_cast<size_t>(*token)]);
    }
  }

  void read_bpe(const std::string& model) {
    const std::string* pre = model == "gpt2" ? metadata_.string("tokenizer.ggml.pre") : &model;
    if (pre == nullptr)
      throw_input("{}: expected tokenizer.ggml.pre, found none: how to cut words is not known", what_);
    const GgufPattern& pattern = gguf_pattern(*pre, what_);
    const bool bytes = pattern.symbols == BpeSymbols::kBytes, metaspace = pattern.symbols == BpeSymbols::kMetaspace;
    if (metaspace) {
      parts_.normalizers.emplace_back([](const std::string& text) { return replace_all(text, " ", "\u2581"); });
      parts_.decoder.replace.emplace_back("\u2581", " ");
    } else if (!bytes) {
      if (flag("tokenizer.ggml.normalizer.lowercase", true)) parts_.normalizers.emplace_back(to_lower);
      parts_.pre_tokenizers.push_back(split_pieces(match_chars(is_white_space), SplitBehavior::kRemoved, false));
    }
    for (const std::string_view p : pattern.patterns) {
      parts_.pre_tokenizers.push_back(
          split_pieces(match_regex(Regex(p, "tokenizer.ggml.pre")), SplitBehavior::kIsolated, false));
    }
    if (bytes) parts_.pre_tokenizers.push_back(byte_level());
    parts_.decoder.byte_level = bytes;
    parts_.decoder.byte_fallback = !bytes;

    BpeOptions options;
    options.ignore_merges = pattern.ignore_merges;
    options.byte_fallback = !bytes;
    auto bpe = std::make_unique<Bpe>(*parts_.vocabulary, options);
    const auto* merges = metadata_.items<std::string>("tokenizer.ggml.merges");
    if (merges == nullptr) throw_input("{}: expected tokenizer.ggml.merges, found none", what_);
    bpe->reserve_merges(merges->size());
    for (size_t i = 0; i < merges->size(); ++i) {
      const std::string& merge = (*merges)[i];
      const size_t space = merge.find(' ', 1);
      if (space == std::string::npos || space + 1 == merge.size() || !is_valid_utf8(merge)) {
        throw_input("{}: tokenizer.ggml.merges[{}]: expected two tokens, found '{}'", what_, i, printable(merge));
      }
      bpe->add_merge(std::string_view(merge).substr(0, space), std::string_view(merge).substr(space + 1),
                     static_cast<uint32_t>(i));
    }
    if (metaspace && bpe->cuts_before_metaspace()) parts_.pre_tokenizers.push_back(cut_before_metaspace());
    parts_.model = std::move(bpe);
    read_special_ids(pattern.add_bos);
    // Files of Gemma 4 say that BOS is not added, which llama.cpp knows to be wrong.
    if (pattern.name == "gemma4" && parts_.bos) parts_.prefix = {*parts_.bos};
  }

  void read_sentencepiece() {
    BpeOptions options;
    options.byte_fallback = true;
    options.fuse_unk = sentencepiece_;
    options.unk = id("tokenizer.ggml.unknown_token_id");
    const auto& scores = list<float>("tokenizer.ggml.scores", parts_.vocabulary->tokens.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      if (std::isnan(scores[i])) throw_input("{}: tokenizer.ggml.scores[{}]: expected a number, found NaN", what_, i);
      if (parts_.vocabulary->tokens[i].size() > kMaxScoredTokenBytes) {
        throw_input("{}: tokenizer.ggml.tokens[{}]: expected at most {} bytes, found {}", what_, i,
                    kMaxScoredTokenBytes, parts_.vocabulary->tokens[i].size());
      }
    }
    auto bpe = std::make_unique<Bpe>(*parts_.vocabulary, options);
    bpe->add_score_merges(scores);

    add_spaces(sentencepiece_);
    if (bpe->cuts_before_metaspace()) parts_.pre_tokenizers.push_back(cut_before_metaspace());
    parts_.model = std::move(bpe);
    parts_.decoder.byte_fallback = true;
    read_special_ids(true);
  }

  // SentencePiece's map of characters and white space; without `all` only the space before a text.
  void add_spaces(bool all) {
    std::string map;
    SentencePieceSpaces spaces;
    spaces.add_prefix = flag("tokenizer.ggml.add_space_prefix", true);
    if (all) {
      const auto* bytes = metadata_.items<uint8_t>("tokenizer.ggml.precompiled_charsmap");
      const auto* signed_bytes = metadata_.items<int8_t>("tokenizer.ggml.precompiled_charsmap");
      if (bytes != nullptr) map.assign(bytes->begin(), bytes->end());
      if (signed_bytes != nullptr) map.assign(signed_bytes->begin(), signed_bytes->end());
      spaces.remove_extra = flag("tokenizer.ggml.remove_extra_whitespaces", false);
    }
    parts_.normalizers.push_back(
        sentencepiece_normalizer(std::move(map), spaces, what_ + ": tokenizer.ggml.precompiled_charsmap"));
    parts_.decoder.replace.emplace_back("\u2581", " ");
    parts_.decoder.drop_first_space = spaces.add_prefix;
  }

  void read_unigram() {
    const auto& scores = list<float>("tokenizer.ggml.scores", parts_.vocabulary->tokens.size());
    std::vector<double> all(scores.begin(), scores.end());
    UnigramOptions options;
    options.unk = id("tokenizer.ggml.unknown_token_id", 2);
    double least = INFINITY;
    parts_.vocabulary->clear_index();
    for (size_t i = 0; i < all.size(); ++i) {
      if (std::isnan(scores[i])) throw_input("{}: tokenizer.ggml.scores[{}]: expected a number, found NaN", what_, i);
      const bool normal = types_.empty() || is(i, kNormalToken);
      if (normal) least = std::min(least, all[i]);
      if (is(i, kUserDefinedToken)) all[i] = 0;
      if (normal || is(i, kUserDefinedToken) || is(i, kUnusedToken)) parts_.vocabulary->index(static_cast<TokenId>(i));
    }
    options.unk_score = least - 10;
    add_spaces(true);
    parts_.model = std::make_unique<Unigram>(*parts_.vocabulary, std::move(all), options);
    read_special_ids(false, true);
  }

  void read_rwkv() {
    auto& vocabulary = *parts_.vocabulary;
    vocabulary.clear_index();
    for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
      vocabulary.tokens[i] = unescape(vocabulary.tokens[i]);
      if (!is(i, kControlToken)) vocabulary.index(static_cast<TokenId>(i));
    }
    parts_.model = std::make_unique<LongestMatch>(vocabulary, id("tokenizer.ggml.unknown_token_id"));
    read_special_ids(false);
  }

  // The converter wrote tokens in SentencePiece's way: U+2581 before those that begin a word, nothing before others.
  void read_wordpiece() {
    constexpr std::string_view kWordBegin = "\u2581";
    auto& vocabulary = *parts_.vocabulary;
    vocabulary.clear_index();
    bool cased = false;
    for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
      std::string& text = vocabulary.tokens[i];
      const bool plain =
          !is(i, kControlToken) && !is(i, kUnknownToken) && !(text.starts_with('[') && text.ends_with(']'));
      if (plain && text.starts_with(kWordBegin)) {
        text.erase(0, kWordBegin.size());
      } else if (plain && !text.empty()) {
        text.insert(0, "##");
      }
      cased = cased || (plain && std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
      if (!text.empty()) vocabulary.index(static_cast<TokenId>(i));
    }
    WordPieceOptions options;
    const auto unk = id("tokenizer.ggml.unknown_token_id");
    const auto unk_by_text = vocabulary.find("[UNK]");
    if (!unk && !unk_by_text) throw_input("{}: tokenizer.ggml.unknown_token_id: expected an id, found none", what_);
    options.unk = unk ? *unk : *unk_by_text;
    parts_.model = std::make_unique<WordPiece>(vocabulary, options);

    // A vocabulary without capitals is one for texts without capitals.
    BertOptions bert;
    bert.lowercase = flag("tokenizer.ggml.normalizer.lowercase", !cased);
    bert.strip_accents = flag("tokenizer.ggml.normalizer.strip_accents", bert.lowercase);
    parts_.normalizers.emplace_back([bert](const std::string& text) { return bert_normalize(text, bert); });
    add_bert_pre_tokenizer(parts_.pre_tokenizers);
    parts_.decoder.continuation = options.continuation;
    parts_.decoder.clean_up = true;

    auto cls = id("tokenizer.ggml.cls_token_id");
    if (!cls) cls = id("tokenizer.ggml.bos_token_id");
    if (!cls) cls = vocabulary.find("[CLS]");
    auto sep = id("tokenizer.ggml.seperator_token_id");  // as the format spells it
    if (!sep) sep = id("tokenizer.ggml.eos_token_id");
    if (!sep) sep = vocabulary.find("[SEP]");
    if (cls && flag("tokenizer.ggml.add_bos_token", true)) parts_.prefix = {*cls};
    if (sep && flag("tokenizer.ggml.add_sep_token", flag("tokenizer.ggml.add_eos_token", true))) parts_.suffix = {*sep};
  }

  const GgufMetadata& metadata_;
  const std::string& what_;
  bool sentencepiece_;
  TokenizerParts parts_;
  std::vector<int32_t> types_;
};

}  // namespace

TokenizerParts gguf_tokenizer_parts(const GgufMetadata& metadata, const std::string& what, bool sentencepiece) {
  return GgufTokenizer(metadata, what, sentencepiece).read();
}

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const GgufMetadata& metadata, const std::string& what) {
  return make_pipeline(gguf_tokenizer_parts(metadata, what, false));
}

}  // namespace occ
