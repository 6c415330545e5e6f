#include "chat/chat.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "chat/interpreter.h"
#include "io/json.h"
#include "tokenizer/limits.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

using jinja::Kind;
using jinja::Meter;
using jinja::Value;
using nlohmann::ordered_json;
using Items = std::vector<std::pair<Value, Value>>;

Value value_of(Meter& meter, const ordered_json& j) {
  switch (j.type()) {
    case ordered_json::value_t::null:
      return Value::none();
    case ordered_json::value_t::boolean:
      return Value(j.get<bool>());
    case ordered_json::value_t::number_integer:
      return Value(j.get<int64_t>());
    case ordered_json::value_t::number_unsigned:
      if (j.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) jinja::fail("expected whole numbers of 64 bits");
      return Value(j.get<int64_t>());
    case ordered_json::value_t::number_float:
      return Value(j.get<double>());
    case ordered_json::value_t::string:
      return make_text(meter, j.get_ref<const std::string&>());
    case ordered_json::value_t::array: {
      std::vector<Value> items;
      for (const ordered_json& item : j) items.push_back(value_of(meter, item));
      return make_sequence(meter, Kind::kList, std::move(items));
    }
    default: {
      Items items;
      for (const auto& [key, item] : j.items()) items.emplace_back(make_text(meter, key), value_of(meter, item));
      return make_dict(meter, std::move(items));
    }
  }
}

// A message as transformers gives it to templates: without null, and with its reasoning under all names.
Value message_of(Meter& meter, const ordered_json& message) {
  Items items;
  const auto add = [&](const char* key, const ordered_json& value) {
    items.emplace_back(make_text(meter, key), value_of(meter, value));
  };
  const ordered_json* reasoning = nullptr;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    if (reasoning == nullptr && message.contains(name) && !message[name].is_null()) reasoning = &message[name];
  }
  if (reasoning != nullptr) add("thinking", *reasoning);
  for (const auto& [key, value] : message.items()) {
    if (!value.is_null()) add(key.c_str(), value);
  }
  if (reasoning != nullptr) add("reasoning_content", *reasoning);
  return make_dict(meter, std::move(items));
}

size_t values_in(const ordered_json& j) {
  size_t n = 1;
  if (j.is_structured()) {
    for (const ordered_json& item : j) n += values_in(item);
  }
  return n;
}

std::string render(const Tokenizer& tokenizer, const ordered_json& conversation, size_t bytes, const std::string& what,
                   const ChatOptions& options) {
  const bool tools = conversation.contains("tools") && !conversation["tools"].empty();
  const std::string& source = tools ? tokenizer.tool_template() : tokenizer.chat_template();
  if (source.empty()) throw_input("the model has no chat template: expected tokenizer_config.json or GGUF with one");
  if (source.size() > kMaxTemplateBytes) {
    throw_input("the model's chat template: expected at most {} bytes, found {}", kMaxTemplateBytes, source.size());
  }
  const size_t values = values_in(conversation);
  jinja::Limits limits;
  limits.steps += 1000 * values + bytes;
  limits.text += 64 * bytes;
  jinja::Context context({limits.steps, limits.text}, options.time.value_or(std::time(nullptr)));
  try {
    std::vector<std::pair<std::string, Value>> variables;
    for (const auto& [name, text] : tokenizer.named_tokens()) variables.emplace_back(name, context.text(text));
    for (const char* name : {"tools", "documents"}) variables.emplace_back(name, Value::none());
    for (const auto& [name, value] : conversation.items()) {
      if (name == "messages") continue;
      std::erase_if(variables, [&, &key = name](const auto& v) { return v.first == key; });
      variables.emplace_back(name, value_of(context.meter, value));
    }
    variables.emplace_back("add_generation_prompt", Value(options.add_generation_prompt));
    std::vector<Value> messages;
    for (const ordered_json& message : conversation["messages"]) messages.push_back(message_of(context.meter, message));
    variables.emplace_back("messages", context.list(std::move(messages)));
    return jinja::Template(source).render(std::move(variables), context);
  } catch (const jinja::Fault& fault) {
    if (fault.refused) throw_usage("{}: the model's chat template refuses it: {}", what, printable(fault.message));
    throw_input("the model's chat template: {}", printable(fault.message, 400));
  }
}

}  // namespace

std::string render_chat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, const ChatOptions& options) {
  ordered_json list = ordered_json::array();
  size_t bytes = 0;
  for (const ChatMessage& m : messages) {
    bytes += m.content.size();
    ordered_json message;
    message["role"] = replace_invalid_utf8(m.role);
    message["content"] = replace_invalid_utf8(m.content);
    list.push_back(std::move(message));
  }
  ordered_json conversation;
  conversation["messages"] = std::move(list);
  return render(tokenizer, conversation, bytes, "the conversation", options);
}

std::string render_chat(const Tokenizer& tokenizer, std::string_view json, const std::string& what,
                        const ChatOptions& options) {
  ordered_json conversation = parse_ordered_json(json, what);
  if (conversation.is_array()) {
    ordered_json object;
    object["messages"] = std::move(conversation);
    conversation = std::move(object);
  }
  const bool listed =
      conversation.is_object() && conversation.contains("messages") && conversation["messages"].is_array();
  if (!listed) throw_input("{}: expected a list of messages, or an object with a list 'messages'", what);
  if (conversation["messages"].empty()) throw_input("{}: expected at least one message, found none", what);
  for (const ordered_json& message : conversation["messages"]) {
    if (!message.is_object()) throw_input("{}: expected messages that are objects with role and content", what);
  }
  if (conversation.contains("tools") && !conversation["tools"].is_array() && !conversation["tools"].is_null()) {
    throw_input("{}: tools: expected a list", what);
  }
  return render(tokenizer, conversation, json.size(), what, options);
}

}  // namespace occ
