// Tokenizers of folders without tokenizer.json. vocab.json with merges.txt and vocab.txt are turned into the document
// that transformers would write as tokenizer.json.
#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "io/json_fields.h"
#include "tensor/side_files.h"
#include "tokenizer/gguf_patterns.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {
namespace {

using nlohmann::json;

// The lines of a file without \r, and without what follows the last \n if that is nothing.
std::vector<std::string> lines_of(const SideFile& file) {
  std::istringstream in{std::string(text_of(file))};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    lines.push_back(std::move(line));
  }
  return lines;
}

class OlderFiles {
 public:
  OlderFiles(const std::vector<SideFile>& files, const std::string& what)
      : files_(files),
        what_(what),
        config_(parse("tokenizer_config.json")),
        map_(parse("special_tokens_map.json")),
        class_(field(config_, "tokenizer_config.json").at("tokenizer_class").string_or("")) {}

  json byte_level_bpe(const SideFile& vocab, const SideFile& merges) {
    vocab_ = parse_json(text_of(vocab), what_ + "/" + vocab.name);
    if (!vocab_.is_object()) throw_input("{}/{}: expected an object", what_, vocab.name);
    json list = json::array();
    for (std::string& line : lines_of(merges)) {
      if (!line.starts_with("#version") && !line.empty()) list.push_back(std::move(line));
    }
    const bool words = vocab_.contains("a</w>"), qwen = class_.starts_with("Qwen2");
    const bool prefix = field(config_, "tokenizer_config.json").at("add_prefix_space").boolean_or(false);
    json split = {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"use_regex", true}}, normalizer;
    if (qwen) {
      const std::string pattern(gguf_pattern("qwen2", what_).patterns[0]);
      split["use_regex"] = false;
      split = {{"type", "Sequence"},
               {"pretokenizers",
                {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
                 split}}};
      normalizer = {{"type", "NFC"}};
    }
    json post;
    std::vector<std::string> special = {"<|endoftext|>"};
    for (const char* family : {"Roberta", "Bart", "Longformer", "LED", "Blenderbot", "Deberta"}) {
      if (!class_.starts_with(family)) continue;
      post = around(token("cls_token", "<s>"), token("sep_token", "</s>"));
      special = {"<s>", "</s>", "<unk>", "<pad>", "<mask>"};
    }
    return {{"normalizer", normalizer},
            {"pre_tokenizer", split},
            {"post_processor", post},
            {"decoder", {{"type", "ByteLevel"}}},
            {"added_tokens", added_tokens(special)},
            {"model",
             {{"type", "BPE"},
              {"end_of_word_suffix", words ? json("</w>") : json()},
              {"vocab", vocab_},
              {"merges", list}}}};
  }

  json wordpiece(const SideFile& vocab) {
    size_t id = 0;
    for (const std::string& line : lines_of(vocab)) vocab_[line] = id++;
    const JsonField config = field(config_, "tokenizer_config.json");
    const std::string unk = token("unk_token", "[UNK]");
    const bool mpnet = class_.starts_with("MPNet");
    const std::string cls = token("cls_token", mpnet ? "<s>" : "[CLS]"),
                      sep = token("sep_token", mpnet ? "</s>" : "[SEP]");
    return {{"normalizer",
             {{"type", "BertNormalizer"},
              {"clean_text", true},
              {"handle_chinese_chars", config.at("tokenize_chinese_chars").boolean_or(true)},
              {"strip_accents", config.at("strip_accents").present() ? *config.at("strip_accents").value : json()},
              {"lowercase", config.at("do_lower_case").boolean_or(true)}}},
            {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
            {"post_processor", around(cls, sep)},
            {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
            {"added_tokens", added_tokens({unk, cls, sep, "[PAD]", "[MASK]"})},
            {"model",
             {{"type", "WordPiece"},
              {"unk_token", unk},
              {"continuing_subword_prefix", "##"},
              {"max_input_chars_per_word", 100u},
              {"vocab", vocab_}}}};
  }

 private:
  json parse(const char* name) const {
    const SideFile* side = find_side_file(files_, name);
    return side == nullptr ? json() : parse_json(text_of(*side), what_ + "/" + name);
  }
  JsonField field(const json& document, const char* name) const { return {&document, what_ + "/" + name + ": $"}; }

  // The text of a special token that is called `key`.
  std::optional<std::string> named(const std::string& key) const {
    for (const auto& [document, name] :
         {std::pair(&config_, "tokenizer_config.json"), std::pair(&map_, "special_tokens_map.json")}) {
      JsonField found = field(*document, name).at(key);
      if (found.present() && found.value->is_object()) found = found.at("content");
      if (found.present()) return found.string();
    }
    return std::nullopt;
  }
  std::string token(const std::string& key, const char* otherwise) const { return named(key).value_or(otherwise); }

  json around(const std::string& first, const std::string& last) const {
    for (const std::string& text : {first, last}) {
      if (!vocab_.contains(text)) throw_input("{}: its vocabulary: expected '{}', found none", what_, printable(text));
    }
    return {{"type", "BertProcessing"}, {"cls", {first, vocab_[first]}}, {"sep", {last, vocab_[last]}}};
  }

  // Special tokens by their names and those of the two lists of added tokens.
  json added_tokens(const std::vector<std::string>& more) {
    json list = json::array();
    const auto put = [&](const std::string& content, const json& id, const json& from, bool special) {
      const bool known = std::any_of(list.begin(), list.end(),
                                     [&](const json& t) { return t["content"] == content || t["id"] == id; });
      if (known) return;
      list.push_back({{"id", id},
                      {"content", content},
                      {"single_word", from.value("single_word", json(false))},
                      {"lstrip", from.value("lstrip", json(special && content == "<mask>"))},
                      {"rstrip", from.value("rstrip", json(false))},
                      {"normalized", from.value("normalized", json(!special))},
                      {"special", from.value("special", json(special))}});
    };
    const JsonField decoder = field(config_, "tokenizer_config.json").at("added_tokens_decoder");
    if (decoder.present()) {
      for (const auto& [key, value] : decoder.object().items()) {
        const JsonField one{&value, fmt::format("{}['{}']", decoder.where, printable(key, 20))};
        if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) {
          throw_input("{}: expected the number of a token", one.where);
        }
        put(one.at("content").string(), std::stoul(key), one.object(), false);
      }
    }
    const json added = parse("added_tokens.json");
    if (added.is_object()) {
      for (const auto& [text, id] : added.items()) put(text, id, json::object(), false);
    }
    std::vector<std::string> special = more;
    for (const char* key :
         {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
      if (const auto text = named(key)) special.push_back(*text);
    }
    for (const std::string& text : special) {
      if (vocab_.contains(text)) put(text, vocab_[text], json::object(), true);
    }
    return list;
  }

  const std::vector<SideFile>& files_;
  const std::string& what_;
  json config_, map_;
  std::string class_;
  json vocab_ = json::object();
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_older_files(const std::vector<SideFile>& files, const std::string& what) {
  for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    if (const SideFile* model = find_side_file(files, name)) return tokenizer_from_sentencepiece(*model, files, what);
  }
  const SideFile *vocab = find_side_file(files, "vocab.json"), *merges = find_side_file(files, "merges.txt");
  if (vocab != nullptr && merges != nullptr) {
    const json document = OlderFiles(files, what).byte_level_bpe(*vocab, *merges);
    return tokenizer_from_json_document(document, files, what, what + "/vocab.json");
  }
  if (const SideFile* words = find_side_file(files, "vocab.txt")) {
    return tokenizer_from_json_document(OlderFiles(files, what).wordpiece(*words), files, what, what + "/vocab.txt");
  }
  throw_input("{}: expected a tokenizer (tokenizer.json, or GGUF with a vocabulary), found none", what);
}

}  // namespace occ
