// Reads tokenizer.json of Hugging Face's `tokenizers`, and what tokenizer_config.json, special_tokens_map.json,
// config.json and generation_config.json say about BOS, EOS and the chat template. Padding and truncation are not
// applied.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "tensor/side_files.h"
#include "tokenizer/bpe.h"
#include "tokenizer/tokenizer_pipeline.h"
#include "tokenizer/tokenizer_pipeline_json.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

namespace occ {
namespace {

using nlohmann::json;

class JsonTokenizer {
 public:
  JsonTokenizer(const std::vector<SideFile>& files, const std::string& what, const std::string& json_name)
      : files_(files), what_(what), json_name_(json_name) {}

  std::unique_ptr<Tokenizer> read() {
    const SideFile* file = find_side_file(files_, "tokenizer.json");
    OCC_CHECK(file != nullptr);
    const json root = parse_json(text_of(*file), json_name_);
    const JsonField top{&root, json_name_ + ": $"};
    parts_.where = json_name_;
    top.object();
    read_vocabulary(top.at("model").at("vocab"), top.at("added_tokens"));
    parse_normalizer(top.at("normalizer"), parts_.normalizers);
    const bool byte_chars = parse_pre_tokenizer(top.at("pre_tokenizer"), parts_.pre_tokenizers);
    read_model(top.at("model"));
    parts_.decoder.byte_level = byte_chars && !top.at("decoder").present();
    parse_decoder(top.at("decoder"), parts_.decoder);
    read_added_tokens(top.at("added_tokens"));
    const bool says = parse_post_processor(top.at("post_processor"), parts_.prefix, parts_.suffix);
    for (const auto* ids : {&parts_.prefix, &parts_.suffix}) {
      for (const TokenId id : *ids) check_id(id, top.where + ": post_processor");
    }
    read_configuration(says);
    return make_pipeline(std::move(parts_));
  }

 private:
  // The file as JSON; null if there is none.
  json parse(const std::string& name) const {
    const SideFile* file = find_side_file(files_, name);
    return file == nullptr ? json() : parse_json(text_of(*file), what_ + "/" + name);
  }

  void check_id(TokenId id, const std::string& where) const {
    if (static_cast<size_t>(id) >= tokens_) throw_input("{}: expected ids below {}, found {}", where, tokens_, id);
  }

  void read_vocabulary(const JsonField& vocab, const JsonField& added) {
    if (vocab.present() && vocab.value->is_array()) return read_scored_vocabulary(vocab, added);
    const json& object = vocab.object();
    const size_t added_count = added.present() ? added.array().size() : 0;
    // Ids may have holes, but a file cannot ask for memory that it does not fill.
    limit_ = 2 * (object.size() + added_count) + 65'536;
    auto& tokens = parts_.vocabulary->tokens;
    std::vector<bool> used;
    for (auto it = object.begin(); it != object.end(); ++it) {
      const JsonField field{&it.value(), fmt::format("{}['{}']", vocab.where, printable(it.key(), 60))};
      const size_t id = field.number(limit_);
      if (id >= tokens.size()) {
        tokens.resize(id + 1);
        used.resize(id + 1);
      }
      if (used[id]) throw_input("{}: id {} has two tokens", field.where, id);
      used[id] = true;
      tokens[id] = it.key();
      parts_.vocabulary->ids.emplace(it.key(), static_cast<TokenId>(id));
    }
    tokens_ = tokens.size();
  }

  // Of Unigram: a list of texts with scores, whose places are the ids.
  void read_scored_vocabulary(const JsonField& vocab, const JsonField& added) {
    auto& vocabulary = *parts_.vocabulary;
    const size_t count = vocab.array().size();
    vocabulary.ids.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      const JsonField pair = vocab.item(i);
      if (pair.array().size() != 2 || !(*pair.value)[1].is_number()) pair.wrong("a text and a score");
      vocabulary.tokens.push_back(pair.item(0).string());
      scores_.push_back((*pair.value)[1].get<double>());
      vocabulary.ids.insert_or_assign(vocabulary.tokens.back(), static_cast<TokenId>(i));
    }
    tokens_ = count;
    limit_ = 2 * (count + (added.present() ? added.array().size() : 0)) + 65'536;
  }

  void read_unigram(const JsonField& model) {
    if (scores_.empty()) model.at("vocab").wrong("a list of texts with scores");
    UnigramOptions options;
    options.byte_fallback = model.at("byte_fallback").boolean_or(false);
    const JsonField unk = model.at("unk_id");
    if (unk.present()) options.unk = static_cast<TokenId>(unk.number(scores_.size() - 1));
    for (const double score : scores_) {
      if (std::isnan(score)) model.at("vocab").wrong("scores that are numbers");
    }
    parts_.model = std::make_unique<Unigram>(*parts_.vocabulary, std::move(scores_), options);
  }

  void read_model(const JsonField& model) {
    const bool scored = model.at("vocab").present() && model.at("vocab").value->is_array();
    const std::string type = model.at("type").string_or(scored ? "Unigram" : "BPE");
    if (scored != (type == "Unigram")) {
      if (type == "Unigram" || type == "BPE" || type == "WordPiece" || type == "WordLevel") {
        throw_input("{}: expected a list with scores for Unigram and an object for others", model.at("vocab").where);
      }
    }
    if (type == "BPE") {
      read_bpe(model);
    } else if (type == "WordPiece") {
      WordPieceOptions options;
      options.continuation = model.at("continuing_subword_prefix").string_or("##");
      const JsonField longest = model.at("max_input_chars_per_word");
      if (longest.present()) options.max_chars = longest.number(kMaxWordPieceChars);
      const JsonField unk = model.at("unk_token");
      const auto id = parts_.vocabulary->find(unk.string_or("[UNK]"));
      if (!id) unk.wrong("a token of the vocabulary");
      options.unk = *id;
      parts_.model = std::make_unique<WordPiece>(*parts_.vocabulary, options);
    } else if (type == "Unigram") {
      read_unigram(model);
    } else if (type == "WordLevel") {
      parts_.model = std::make_unique<WordLevel>(*parts_.vocabulary,
                                                 parts_.vocabulary->find(model.at("unk_token").string_or("<unk>")));
    } else {
      throw_input("{}: expected BPE, WordPiece, Unigram or WordLevel, found '{}'", model.at("type").where,
                  printable(type));
    }
  }

  void read_bpe(const JsonField& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!model.at(key).string_or("").empty()) model.at(key).wrong("none (it is not supported)");
    }
    if (model.at("dropout").present() && *model.at("dropout").value != 0) model.at("dropout").wrong("none");
    BpeOptions options;
    options.byte_fallback = model.at("byte_fallback").boolean_or(false);
    options.fuse_unk = model.at("fuse_unk").boolean_or(false);
    options.ignore_merges = model.at("ignore_merges").boolean_or(false);
    if (model.at("unk_token").present()) {
      options.unk = parts_.vocabulary->find(model.at("unk_token").string());
      if (!options.unk) model.at("unk_token").wrong("a token of the vocabulary");
    }
    auto bpe = std::make_unique<Bpe>(*parts_.vocabulary, options);
    const JsonField merges = model.at("merges");
    // Of equal pairs the last one counts there: they are added from the end.
    for (size_t i = merges.array().size(); i-- > 0;) {
      const JsonField merge = merges.item(i);
      std::string left, right;
      if (merge.value->is_string()) {
        const std::string& text = merge.string();
        const size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) merge.wrong("two tokens");
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else {
        if (merge.array().size() != 2) merge.wrong("two tokens");
        left = merge.item(0).string();
        right = merge.item(1).string();
      }
      for (const std::string& token : {left, right, left + right}) {
        if (!parts_.vocabulary->find(token)) {
          throw_input("{}: expected tokens of the vocabulary, found '{}'", merge.where, printable(token));
        }
      }
      if (left.empty() || right.empty()) merge.wrong("two tokens");
      bpe->add_merge(left, right, static_cast<uint32_t>(i));
    }
    if (!options.ignore_merges && bpe->cuts_before_metaspace()) parts_.pre_tokenizers.push_back(cut_before_metaspace());
    parts_.model = std::move(bpe);
  }

  void read_added_tokens(const JsonField& list) {
    if (!list.present()) return;
    size_t bytes = 0;
    for (size_t i = 0; i < list.array().size(); ++i) bytes += list.item(i).at("content").string().size();
    GrowthLimit limit(json_name_, bytes);
    for (size_t i = 0; i < list.array().size(); ++i) {
      const JsonField field = list.item(i);
      AddedToken token;
      token.id = static_cast<TokenId>(field.at("id").number(limit_));
      token.content = field.at("content").string();
      token.special = field.at("special").boolean_or(false);
      token.lstrip = field.at("lstrip").boolean_or(false);
      token.rstrip = field.at("rstrip").boolean_or(false);
      token.single_word = field.at("single_word").boolean_or(false);
      parts_.added_text.emplace_back(token.id, token.content);
      tokens_ = std::max(tokens_, static_cast<size_t>(token.id) + 1);
      if (field.at("normalized").boolean_or(!token.special)) {
        token.content = normalize(parts_, std::move(token.content), limit);
        limit.take(token.content.size());
        parts_.normalized.push_back(std::move(token));
      } else {
        parts_.added.push_back(std::move(token));
      }
    }
  }

  std::optional<TokenId> find(const std::string& text) const {
    for (const auto& [id, content] : parts_.added_text) {
      if (content == text) return id;
    }
    return parts_.vocabulary->find(text);
  }

  // The special token `key` of tokenizer_config.json or special_tokens_map.json, as text or as {"content": text}.
  std::optional<TokenId> named_token(const JsonField& file, const std::string& key) const {
    JsonField field = file.at(key);
    if (!field.present()) return std::nullopt;
    if (field.value->is_object()) field = field.at("content");
    return find(field.string());
  }

  // Ids of config.json or generation_config.json: one or a list.
  std::vector<TokenId> listed_ids(const JsonField& field) const {
    if (!field.present()) return {};
    std::vector<TokenId> ids;
    const size_t count = field.value->is_array() ? field.value->size() : 1;
    for (size_t i = 0; i < count; ++i) {
      const JsonField one = field.value->is_array() ? field.item(i) : field;
      if (one.value->is_number_integer() && *one.value < 0) continue;  // -1 is used for none
      ids.push_back(static_cast<TokenId>(one.number((uint64_t{1} << 31) - 1)));
      check_id(ids.back(), one.where);
    }
    return ids;
  }

  void read_configuration(bool post_processor_says) {
    const json config_json = parse("tokenizer_config.json");
    const JsonField config{&config_json, what_ + "/tokenizer_config.json: $"};
    const json map_json = parse("special_tokens_map.json");
    const JsonField map{&map_json, what_ + "/special_tokens_map.json: $"};

    std::optional<TokenId> eos = named_token(config, "eos_token");
    parts_.bos = named_token(config, "bos_token");
    if (!eos) eos = named_token(map, "eos_token");
    if (!parts_.bos) parts_.bos = named_token(map, "bos_token");
    auto& ends = parts_.end_of_generation;
    if (eos) ends.push_back(*eos);
    for (const char* name : {"generation_config.json", "config.json"}) {
      const json model_json = parse(name);
      const JsonField model{&model_json, what_ + "/" + name + ": $"};
      for (const TokenId id : listed_ids(model.at("eos_token_id"))) {
        if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
      }
      const std::vector<TokenId> bos = listed_ids(model.at("bos_token_id"));
      if (!parts_.bos && !bos.empty()) parts_.bos = bos[0];
    }
    std::vector<std::pair<TokenId, std::string>> special;
    for (const auto* list : {&parts_.added, &parts_.normalized}) {
      for (const AddedToken& t : *list) {
        if (t.special) special.emplace_back(t.id, t.content);
      }
    }
    add_end_of_turn_tokens(special, ends);

    if (!post_processor_says) {
      const std::string type = config.at("tokenizer_class").string_or("");
      const bool adds_bos = type.starts_with("Llama") || type.starts_with("CodeLlama") || type.starts_with("Gemma");
      if (parts_.bos && config.at("add_bos_token").boolean_or(adds_bos)) parts_.prefix = {*parts_.bos};
      if (eos && config.at("add_eos_token").boolean_or(false)) parts_.suffix = {*eos};
    }
    read_chat_template(config.at("chat_template"));
    name_tokens(config);
    name_tokens(map);
  }

  // What templates know special tokens by: all keys such as "bos_token" that hold a text.
  void name_tokens(const JsonField& file) {
    if (!file.present() || !file.value->is_object()) return;
    for (const auto& [key, value] : file.value->items()) {
      const json* text = &value;
      if (value.is_object() && value.contains("content")) text = &value["content"];
      const bool known = std::any_of(parts_.named_tokens.begin(), parts_.named_tokens.end(),
                                     [&name = key](const auto& named) { return named.first == name; });
      if (key.ends_with("_token") && text->is_string() && !known) {
        parts_.named_tokens.emplace_back(key, text->get<std::string>());
      }
    }
  }

  // A string, or a list of named ones of which "default" counts; a file of its own goes before.
  void read_chat_template(const JsonField& field) {
    if (const SideFile* file = find_side_file(files_, "chat_template.jinja")) {
      parts_.chat_template = text_of(*file);
    } else if (field.present() && field.value->is_array()) {
      for (size_t i = 0; i < field.value->size(); ++i) {
        const JsonField named = field.item(i);
        if (i == 0 || named.at("name").string() == "default") parts_.chat_template = named.at("template").string();
        if (named.at("name").string() == "tool_use") parts_.tool_template = named.at("template").string();
      }
    } else {
      parts_.chat_template = field.string_or("");
    }
  }

  const std::vector<SideFile>& files_;
  const std::string &what_, &json_name_;
  TokenizerParts parts_;
  std::vector<double> scores_;  // of Unigram
  size_t tokens_ = 0, limit_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(const std::vector<SideFile>& files, const std::string& what,
                                               const std::string& json_name) {
  return JsonTokenizer(files, what, json_name).read();
}

}  // namespace occ
