// Reads what tokenizer_config.json, special_tokens_map.json, config.json and generation_config.json say about BOS, EOS,
// the names of special tokens and the chat template.
#include <algorithm>

#include "io/json_fields.h"
#include "tensor/side_files.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {
namespace {

using nlohmann::json;

class ConfigReader {
 public:
  ConfigReader(const std::vector<SideFile>& files, const std::string& what, size_t tokens, TokenizerParts* parts)
      : files_(files), what_(what), tokens_(tokens), parts_(parts) {}

  void read(bool post_processor_says) {
    const json config_json = parse("tokenizer_config.json");
    const JsonField config{&config_json, what_ + "/tokenizer_config.json: $"};
    const json map_json = parse("special_tokens_map.json");
    const JsonField map{&map_json, what_ + "/special_tokens_map.json: $"};

    std::optional<TokenId> eos = named_token(config, "eos_token");
    if (!eos) eos = named_token(map, "eos_token");
    std::optional<TokenId> bos = named_token(config, "bos_token");
    if (!bos) bos = named_token(map, "bos_token");
    if (bos) parts_->bos = bos;
    auto& ends = parts_->end_of_generation;
    if (eos && std::find(ends.begin(), ends.end(), *eos) == ends.end()) ends.insert(ends.begin(), *eos);
    for (const char* name : {"generation_config.json", "config.json"}) {
      const json model_json = parse(name);
      const JsonField model{&model_json, what_ + "/" + name + ": $"};
      for (const TokenId id : listed_ids(model.at("eos_token_id"))) {
        if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
      }
      const std::vector<TokenId> begins = listed_ids(model.at("bos_token_id"));
      if (!parts_->bos && !begins.empty()) parts_->bos = begins[0];
    }
    std::vector<std::pair<TokenId, std::string>> special;
    for (const auto* list : {&parts_->added, &parts_->normalized}) {
      for (const AddedToken& t : *list) {
        if (t.special) special.emplace_back(t.id, t.content);
      }
    }
    add_end_of_turn_tokens(special, ends);

    if (!post_processor_says) {
      const std::string type = config.at("tokenizer_class").string_or("");
      const bool adds_bos = type.starts_with("Llama") || type.starts_with("CodeLlama") || type.starts_with("Gemma");
      if (parts_->bos && config.at("add_bos_token").boolean_or(adds_bos)) parts_->prefix = {*parts_->bos};
      if (eos && config.at("add_eos_token").boolean_or(false)) parts_->suffix = {*eos};
    }
    read_chat_template(config.at("chat_template"));
    name_tokens(config);
    name_tokens(map);
  }

 private:
  // The file as JSON; null if there is none.
  json parse(const std::string& name) const {
    const SideFile* file = find_side_file(files_, name);
    return file == nullptr ? json() : parse_json(text_of(*file), what_ + "/" + name);
  }

  std::optional<TokenId> find(const std::string& text) const {
    for (const auto& [id, content] : parts_->added_text) {
      if (content == text) return id;
    }
    return parts_->vocabulary->find(text);
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
      if (static_cast<size_t>(ids.back()) >= tokens_) {
        throw_input("{}: expected ids below {}, found {}", one.where, tokens_, ids.back());
      }
    }
    return ids;
  }

  // What templates know special tokens by: all keys such as "bos_token" that hold a text.
  void name_tokens(const JsonField& file) {
    if (!file.present() || !file.value->is_object()) return;
    for (const auto& [key, value] : file.value->items()) {
      const json* text = &value;
      if (value.is_object() && value.contains("content")) text = &value["content"];
      const bool known = std::any_of(parts_->named_tokens.begin(), parts_->named_tokens.end(),
                                     [&name = key](const auto& named) { return named.first == name; });
      if (key.ends_with("_token") && text->is_string() && !known) {
        parts_->named_tokens.emplace_back(key, text->get<std::string>());
      }
    }
  }

  // A string, or a list of named ones of which "default" counts; a file of its own goes before.
  void read_chat_template(const JsonField& field) {
    if (const SideFile* file = find_side_file(files_, "chat_template.jinja")) {
      parts_->chat_template = text_of(*file);
    } else if (field.present() && field.value->is_array()) {
      for (size_t i = 0; i < field.value->size(); ++i) {
        const JsonField named = field.item(i);
        if (i == 0 || named.at("name").string() == "default") parts_->chat_template = named.at("template").string();
        if (named.at("name").string() == "tool_use") parts_->tool_template = named.at("template").string();
      }
    } else {
      parts_->chat_template = field.string_or("");
    }
  }

  const std::vector<SideFile>& files_;
  const std::string& what_;
  size_t tokens_;
  TokenizerParts* parts_;
};

}  // namespace

void read_tokenizer_config(const std::vector<SideFile>& files, const std::string& what, size_t tokens,
                           bool post_processor_says, TokenizerParts* parts) {
  ConfigReader(files, what, tokens, parts).read(post_processor_says);
}

}  // namespace occ
