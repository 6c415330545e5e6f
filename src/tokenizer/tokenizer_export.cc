#include "tokenizer/tokenizer_export.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "io/json.h"
#include "tensor/side_files.h"
#include "tokenizer/gguf_patterns.h"
#include "tokenizer/token_types.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {
namespace {

using nlohmann::json;

constexpr const char* kMeta = "\u2581";

// All triples of what patterns tell apart (letters with and without case, digits, white space, marks, symbols), and
// numbers, which are cut in many ways.
const std::string& probe_text() {
  static const std::string text = [] {
    const std::string_view kinds[] = {
        "ab", "Cd", "EF",  "\u00e9t", "1",  "2345",         " ",      "  ",         "\n",     "\r\n", "\t",
        "'",  "'s", "'LL", "!",       "_=", "\u4e2d\u6587", "\uac00", "\U0001f600", "\u0661", ".",    "and"};
    std::string out;
    for (const auto a : kinds) {
      for (const auto b : kinds) {
        for (const auto c : kinds) out.append(a).append(b).append(c);
      }
    }
    for (int n = 0; n < 20'000; n += 7) out += fmt::format(" {}", n);
    return out;
  }();
  return text;
}

std::vector<TokenId> probe_ids(const Tokenizer& tokenizer) {
  return tokenizer.encode(probe_text(), {.add_special = true, .parse_special = false});
}

Bytes bytes_of(const std::string& text) { return Bytes(text.begin(), text.end()); }

// ---- GGUF to tokenizer.json

json post_processor(const json& prefix, const json& suffix) {
  // Each side: {"text": id}.
  json single = json::array(), pair = json::array(), special = json::object();
  const auto put = [&](const json& tokens, int type, json* to) {
    for (const auto& [text, id] : tokens.items()) {
      to->push_back({{"SpecialToken", {{"id", text}, {"type_id", type}}}});
      special[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    }
  };
  put(prefix, 0, &single);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  put(suffix, 0, &single);
  pair = single;
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  put(suffix, 1, &pair);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

class JsonWriter {
 public:
  JsonWriter(const GgufMetadata& metadata, const std::string& what)
      : m_(metadata),
        what_(what),
        kind_(*metadata.string("tokenizer.ggml.model")),
        tokens_(*metadata.items<std::string>("tokenizer.ggml.tokens")) {
    if (const auto* types = m_.items<int32_t>("tokenizer.ggml.token_type")) types_ = *types;
    types_.resize(tokens_.size(), kNormalToken);
  }

  json tokenizer() {
    json j = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
    j["added_tokens"] = added_tokens();
    if (kind_ == "gpt2") write_byte_level(&j);
    if (kind_ == "llama") write_sentencepiece(&j);
    if (kind_ == "bert") write_wordpiece(&j);
    if (!j.contains("model")) {
      throw_input("{}: tokenizer.ggml.model: expected gpt2, llama or bert to write tokenizer.json, found '{}'", what_,
                  printable(kind_));
    }
    return j;
  }

  json config() const {
    json j = {{"tokenizer_class", kind_ == "bert" ? "BertTokenizer" : "PreTrainedTokenizerFast"},
              {"clean_up_tokenization_spaces", kind_ == "bert"}};
    const auto name = [&](const char* key, const char* as) {
      if (const auto text = token_at(key)) j[as] = *text;
    };
    if (kind_ != "bert") {
      name("tokenizer.ggml.bos_token_id", "bos_token");
      name("tokenizer.ggml.eos_token_id", "eos_token");
      j["add_bos_token"] = adds_bos();
    }
    name("tokenizer.ggml.unknown_token_id", "unk_token");
    name("tokenizer.ggml.padding_token_id", "pad_token");
    name("tokenizer.ggml.cls_token_id", "cls_token");
    name("tokenizer.ggml.seperator_token_id", "sep_token");
    name("tokenizer.ggml.mask_token_id", "mask_token");
    if (const std::string* text = m_.string("tokenizer.chat_template")) j["chat_template"] = *text;
    return j;
  }

 private:
  std::optional<std::string> token_at(const char* key) const {
    const auto id = m_.uint(key);
    return id && *id < tokens_.size() ? std::optional(tokens_[*id]) : std::nullopt;
  }
  bool adds_bos() const {
    const bool otherwise =
        kind_ == "llama" || (kind_ == "gpt2" && gguf_pattern(*m_.string("tokenizer.ggml.pre"), what_).add_bos);
    return m_.boolean("tokenizer.ggml.add_bos_token").value_or(otherwise);
  }
  json added_tokens() const {
    json list = json::array();
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const bool special = types_[i] == kControlToken || types_[i] == kUnknownToken;
      if ((!special && types_[i] != kUserDefinedToken) || tokens_[i].empty()) continue;
      list.push_back({{"id", i},
                      {"content", tokens_[i]},
                      {"single_word", false},
                      {"lstrip", false},
                      {"rstrip", false},
                      {"normalized", false},
                      {"special", special}});
    }
    return list;
  }
  json vocabulary() const {
    json vocab = json::object();
    for (size_t i = 0; i < tokens_.size(); ++i) vocab[tokens_[i]] = i;
    return vocab;
  }
  // BOS and EOS around a text where the file asks for them.
  json around(const char* flag, bool otherwise, const char* key) const {
    const auto text = token_at(key);
    if (!text || !m_.boolean(flag).value_or(otherwise)) return json::object();
    return {{*text, *m_.uint(key)}};
  }
  void write_post_processor(json* j) const {
    const json prefix = around("tokenizer.ggml.add_bos_token", adds_bos(), "tokenizer.ggml.bos_token_id");
    const json suffix = around("tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id");
    (*j)["post_processor"] = prefix.empty() && suffix.empty() ? json(nullptr) : post_processor(prefix, suffix);
  }

  void write_byte_level(json* j) const {
    const GgufPattern& pattern = gguf_pattern(*m_.string("tokenizer.ggml.pre"), what_);
    if (pattern.symbols != BpeSymbols::kBytes) {
      throw_input("{}: tokenizer.ggml.pre: expected one of bytes to write tokenizer.json, found '{}'", what_,
                  pattern.name);
    }
    json steps = json::array();
    for (const std::string_view p : pattern.patterns) {
      // tokenizers' regex engine writes code points without braces in classes as \x{...} as well.
      steps.push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", std::string(p)}}}, {"behavior", "Isolated"}, {"invert", false}});
    }
    const json bytes = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
    steps.push_back(bytes);
    (*j)["normalizer"] = nullptr;
    (*j)["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    write_post_processor(j);
    (*j)["decoder"] = bytes;
    (*j)["model"] = {{"type", "BPE"},
                     {"dropout", nullptr},
                     {"unk_token", nullptr},
                     {"continuing_subword_prefix", nullptr},
                     {"end_of_word_suffix", nullptr},
                     {"fuse_unk", false},
                     {"byte_fallback", false},
                     {"ignore_merges", pattern.ignore_merges},
                     {"vocab", vocabulary()},
                     {"merges", *m_.items<std::string>("tokenizer.ggml.merges")}};
  }

  // SentencePiece merges any two neighbours that make a token, the best score first: as a list of merges that is every
  // way to cut every token in two.
  std::vector<std::string> merges_by_score() const {
    const std::vector<float>& scores = *m_.items<float>("tokenizer.ggml.scores");
    std::unordered_map<std::string_view, size_t> ids;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (types_[i] == kNormalToken || types_[i] == kUserDefinedToken || types_[i] == kUnusedToken)
        ids.emplace(tokens_[i], i);
    }
    struct Merge {
      float score;
      size_t token, cut;
    };
    std::vector<Merge> merges;
    for (const auto& [text, id] : ids) {
      for (size_t cut = 1; cut < text.size(); ++cut) {
        if ((static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) continue;
        if (ids.contains(text.substr(0, cut)) && ids.contains(text.substr(cut))) {
          merges.push_back({scores[id], id, cut});
        }
      }
    }
    std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
      return a.score != b.score ? a.score > b.score : a.token != b.token ? a.token < b.token : a.cut < b.cut;
    });
    std::vector<std::string> out;
    for (const Merge& m : merges)
      out.push_back(tokens_[m.token].substr(0, m.cut) + " " + tokens_[m.token].substr(m.cut));
    return out;
  }

  void write_sentencepiece(json* j) const {
    const bool prefix = m_.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
    json normalizers = json::array();
    json decoders = {{{"type", "Replace"}, {"pattern", {{"String", kMeta}}}, {"content", " "}},
                     {{"type", "ByteFallback"}},
                     {{"type", "Fuse"}}};
    if (prefix) {
      normalizers.push_back({{"type", "Prepend"}, {"prepend", kMeta}});
      decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    }
    normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kMeta}});
    (*j)["normalizer"] = {{"type", "Sequence"}, {"normalizers", normalizers}};
    (*j)["pre_tokenizer"] = nullptr;
    write_post_processor(j);
    (*j)["decoder"] = {{"type", "Sequence"}, {"decoders", decoders}};
    const auto unknown = token_at("tokenizer.ggml.unknown_token_id");
    (*j)["model"] = {{"type", "BPE"},
                     {"dropout", nullptr},
                     {"unk_token", unknown ? json(*unknown) : json(nullptr)},
                     {"continuing_subword_prefix", nullptr},
                     {"end_of_word_suffix", nullptr},
                     {"fuse_unk", true},
                     {"byte_fallback", true},
                     {"vocab", vocabulary()},
                     {"merges", merges_by_score()}};
  }

  void write_wordpiece(json* j) const {
    json vocab = json::object();
    bool cased = false;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      std::string text = tokens_[i];
      const bool plain = types_[i] == kNormalToken && !(text.starts_with('[') && text.ends_with(']'));
      if (plain && text.starts_with(kMeta)) {
        text.erase(0, std::char_traits<char>::length(kMeta));
      } else if (plain && !text.empty()) {
        text.insert(0, "##");
      }
      cased = cased || (plain && std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
      vocab[text] = i;
    }
    const auto name = [&](const char* key, const char* other) { return token_at(key).value_or(other); };
    const std::string cls = name("tokenizer.ggml.cls_token_id", "[CLS]"),
                      sep = name("tokenizer.ggml.seperator_token_id", "[SEP]"),
                      unk = name("tokenizer.ggml.unknown_token_id", "[UNK]");
    if (!vocab.contains(cls) || !vocab.contains(sep) || !vocab.contains(unk)) {
      throw_input("{}: its vocabulary: expected {}, {} and {}", what_, cls, sep, unk);
    }
    (*j)["normalizer"] = {{"type", "BertNormalizer"},
                          {"clean_text", true},
                          {"handle_chinese_chars", true},
                          {"strip_accents", nullptr},
                          {"lowercase", !cased}};
    (*j)["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
    (*j)["post_processor"] = post_processor({{cls, vocab[cls]}}, {{sep, vocab[sep]}});
    (*j)["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
    (*j)["model"] = {{"type", "WordPiece"},
                     {"unk_token", unk},
                     {"continuing_subword_prefix", "##"},
                     {"max_input_chars_per_word", 100},
                     {"vocab", vocab}};
  }

  const GgufMetadata& m_;
  const std::string& what_;
  std::string kind_;
  const std::vector<std::string>& tokens_;
  std::vector<int32_t> types_;
};

// ---- tokenizer.json to GGUF

json parse(const SideFile& file, const std::string& what) { return parse_json(text_of(file), what + ": " + file.name); }

struct VocabularyList {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
};

bool is_byte_token(const std::string& text) {
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
}

// The file was read as a tokenizer before: ids and types are right.
VocabularyList read_vocabulary(const json& tokenizer, size_t vocab_size, bool bytes) {
  VocabularyList v;
  v.tokens.resize(vocab_size);
  v.types.assign(vocab_size, kUnusedToken);
  const auto put = [&](const std::string& text, uint64_t id, int32_t type) {
    if (id >= v.tokens.size()) return;  // an added token without a row of the embedding
    v.tokens[id] = text;
    v.types[id] = type;
  };
  for (const auto& [text, id] : tokenizer["model"]["vocab"].items()) {
    put(text, id.get<uint64_t>(), bytes && is_byte_token(text) ? kByteToken : kNormalToken);
  }
  for (const json& t : tokenizer.value("added_tokens", json::array())) {
    put(t["content"].get<std::string>(), t["id"].get<uint64_t>(),
        t.value("special", false) ? kControlToken : kUserDefinedToken);
  }
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    if (v.tokens[i].empty()) v.tokens[i] = fmt::format("[PAD{}]", i);
  }
  return v;
}

std::vector<std::pair<std::string, std::string>> read_merges(const json& model) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const json& m : model["merges"]) {
    if (m.is_array()) {
      out.emplace_back(m[0].get<std::string>(), m[1].get<std::string>());
    } else {
      const std::string text = m.get<std::string>();
      const size_t space = text.find(' ', 1);
      out.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
  }
  return out;
}

template <typename T>
GgufArray array_of(std::vector<T> items) {
  GgufArray a;
  a.items = std::move(items);
  return a;
}

// The first `pre` whose tokenizer cuts the probe text as `wanted`.
std::optional<GgufMetadata> find_pre(const GgufMetadata& base, const std::vector<TokenId>& wanted,
                                     const std::string& what) {
  for (const std::string& name : gguf_pattern_names()) {
    GgufMetadata trial = base;
    trial.set("tokenizer.ggml.pre", name);
    if (probe_ids(*tokenizer_from_gguf(trial, what)) == wanted) return trial;
  }
  return std::nullopt;
}

}  // namespace

std::vector<SideFile> hf_tokenizer_files(const GgufMetadata& metadata, const std::string& what) {
  if (metadata.string("tokenizer.ggml.model") == nullptr) return {};
  const std::vector<TokenId> wanted = probe_ids(*tokenizer_from_gguf(metadata, what));  // also checks the metadata
  JsonWriter writer(metadata, what);
  std::vector<SideFile> files;
  files.push_back({"tokenizer.json", bytes_of(writer.tokenizer().dump())});
  files.push_back({"tokenizer_config.json", bytes_of(writer.config().dump(2) + "\n")});
  if (probe_ids(*make_tokenizer(files, what)) != wanted) {
    throw_input("{}: its tokenizer cannot be written as tokenizer.json: the ids of a probe text would differ", what);
  }
  return files;
}

void add_gguf_tokenizer(const std::vector<SideFile>& files, const std::string& what, size_t vocab_size,
                        GgufMetadata* metadata) {
  const SideFile* file = find_side_file(files, "tokenizer.json");
  if (file == nullptr) return;
  const std::unique_ptr<Tokenizer> source = make_tokenizer(files, what);
  const json tokenizer = parse(*file, what);
  const json& model = tokenizer["model"];
  const bool wordpiece = model.value("type", "BPE") == "WordPiece", spm = model.value("byte_fallback", false);
  VocabularyList v = read_vocabulary(tokenizer, vocab_size, spm);
  const auto unknown = model.contains("unk_token") && model["unk_token"].is_string()
                           ? source->find(model["unk_token"].get<std::string>())
                           : std::nullopt;
  if (spm && unknown && static_cast<size_t>(*unknown) < v.types.size())
    v.types[static_cast<size_t>(*unknown)] = kUnknownToken;

  GgufMetadata m = *metadata;
  m.append("tokenizer.ggml.model", std::string(wordpiece ? "bert" : spm ? "llama" : "gpt2"));
  std::vector<float> scores(v.tokens.size(), 0);
  std::vector<std::string> merges;
  if (wordpiece) {
    for (size_t i = 0; i < v.tokens.size(); ++i) {
      std::string& text = v.tokens[i];
      if (v.types[i] != kNormalToken || (text.starts_with('[') && text.ends_with(']'))) continue;
      text = text.starts_with("##") ? text.substr(2) : kMeta + text;
    }
    m.append("tokenizer.ggml.pre", std::string("default"));
  } else {
    // SentencePiece's scores: the earlier a token is merged, the higher; what no merge makes comes last.
    std::unordered_map<std::string, size_t> first;
    const auto pairs = read_merges(model);
    for (size_t i = 0; i < pairs.size(); ++i) {
      first.emplace(pairs[i].first + pairs[i].second, i);
      if (!spm) merges.push_back(pairs[i].first + " " + pairs[i].second);
    }
    for (size_t i = 0; i < scores.size(); ++i) {
      const auto at = first.find(v.tokens[i]);
      scores[i] = -static_cast<float>(at == first.end() ? pairs.size() : at->second);
    }
    if (spm) m.append("tokenizer.ggml.pre", std::string("default"));
  }
  m.append("tokenizer.ggml.tokens", array_of(v.tokens));
  m.append("tokenizer.ggml.token_type", array_of(v.types));
  if (spm) m.append("tokenizer.ggml.scores", array_of(scores));
  if (!wordpiece && !spm) m.append("tokenizer.ggml.merges", array_of(merges));
  const auto put_id = [&](const char* key, std::optional<TokenId> id) {
    if (id && static_cast<size_t>(*id) < vocab_size) m.append(key, static_cast<uint32_t>(*id));
  };
  if (wordpiece) {
    put_id("tokenizer.ggml.cls_token_id", source->find("[CLS]"));
    put_id("tokenizer.ggml.seperator_token_id", source->find("[SEP]"));
    put_id("tokenizer.ggml.unknown_token_id", unknown);
    put_id("tokenizer.ggml.padding_token_id", source->find("[PAD]"));
    put_id("tokenizer.ggml.mask_token_id", source->find("[MASK]"));
  } else {
    put_id("tokenizer.ggml.bos_token_id", source->bos());
    const std::vector<TokenId> ends = source->end_of_generation();
    put_id("tokenizer.ggml.eos_token_id", ends.empty() ? std::nullopt : std::optional(ends[0]));
    put_id("tokenizer.ggml.unknown_token_id", unknown);
    m.append("tokenizer.ggml.add_bos_token", source->adds_bos());
    if (spm) {
      const std::vector<TokenId> word = source->encode("a", {.add_special = false});
      m.append("tokenizer.ggml.add_space_prefix", !word.empty() && source->piece(word[0]).starts_with(' '));
    }
  }
  if (!source->chat_template().empty()) m.append("tokenizer.chat_template", source->chat_template());
  const std::vector<TokenId> wanted = probe_ids(*source);
  if (!wordpiece && !spm) {
    const std::optional<GgufMetadata> found = find_pre(m, wanted, what);
    if (found) m = *found;
  }
  if (m.find("tokenizer.ggml.pre") == nullptr || probe_ids(*tokenizer_from_gguf(m, what)) != wanted) {
    throw_input("{}: its tokenizer cannot be written as GGUF metadata: the ids of a probe text would differ", what);
  }
  *metadata = std::move(m);
}

}  // namespace occ
