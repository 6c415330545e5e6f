#include "server/requests.h"

#include <random>

#include "base/error.h"
#include "chat/chat.h"
#include "io/json_fields.h"
#include "server/api_error.h"

namespace occ {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMostChoices = 128, kMostStops = 16, kMostStopBytes = 1000, kMostLogprobs = 20, kMostTexts = 2048;
constexpr size_t kMostTokens = size_t{1} << 30;

JsonField root(const json& body) {
  const JsonField field{&body, "request"};
  field.object();
  return field;
}

// A member that is missing, or has the value that means nothing is asked for.
void expect_default(const JsonField& field, const json& value) {
  if (field.present() && *field.value != value) {
    throw_usage("{}: not supported, expected {}", field.where, value.dump());
  }
}

uint64_t number_or(const JsonField& field, uint64_t limit, uint64_t otherwise) {
  return field.present() ? field.number(limit) : otherwise;
}

std::vector<std::string> parse_stop(const JsonField& field) {
  std::vector<std::string> stop;
  if (!field.present()) return stop;
  if (field.value->is_string()) {
    stop.push_back(field.string());
  } else {
    for (size_t i = 0; i < field.array().size(); ++i) stop.push_back(field.item(i).string());
  }
  if (stop.size() > kMostStops)
    throw_usage("{}: expected at most {} texts, found {}", field.where, kMostStops, stop.size());
  for (const std::string& s : stop) {
    if (s.empty() || s.size() > kMostStopBytes) {
      throw_usage("{}: expected texts of 1 to {} bytes, found one of {}", field.where, kMostStopBytes, s.size());
    }
  }
  return stop;
}

// Members that would change the answer, known from other servers, must have the values that change nothing.
void expect_no_other_sampling(const JsonField& body) {
  static const std::vector<std::pair<json, std::vector<const char*>>> kNeutral = {
      {0,
       {"presence_penalty", "frequency_penalty", "min_p", "top_a", "min_tokens", "mirostat", "mirostat_mode",
        "dry_multiplier", "xtc_probability", "dynatemp_range", "no_repeat_ngram_size"}},
      {1, {"repetition_penalty", "repeat_penalty", "typical_p", "tfs", "tfs_z", "length_penalty", "num_beams"}},
      {false, {"use_beam_search", "include_stop_str_in_output", "continue_final_message"}},
      {true, {"skip_special_tokens", "add_generation_prompt"}},
      {"", {"grammar"}},
      {json::array(), {"stop_token_ids", "bad_words"}},
      {json::object(), {"logit_bias"}},
      {nullptr,
       {"allowed_token_ids", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs",
        "json_schema", "regex", "ebnf", "logits_processors", "truncate_prompt_tokens", "n_predict"}}};
  for (const auto& [value, names] : kNeutral) {
    for (const char* name : names) expect_default(body.at(name), value);
  }
  expect_default(body.at("response_format").at("type"), "text");
}

// What completions and chats have in common.
GenerateOptions parse_options(const JsonField& body, TextRequest* request, size_t max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    options.max_tokens = number_or(body.at(name), kMostTokens, options.max_tokens);
  }
  options.sampling.temperature = static_cast<float>(body.at("temperature").real().value_or(1));
  options.sampling.top_p = static_cast<float>(body.at("top_p").real().value_or(1));
  options.sampling.top_k = number_or(body.at("top_k"), kMostTokens, 0);
  options.sampling.seed = number_or(body.at("seed"), UINT64_MAX, std::random_device()());
  const Sampler check(options.sampling);
  options.stop = parse_stop(body.at("stop"));
  options.ignore_end = body.at("ignore_eos").boolean_or(false);
  request->choices = number_or(body.at("n"), kMostChoices, 1);
  if (request->choices == 0) throw_usage("request.n: expected at least 1, found 0");
  request->stream = body.at("stream").boolean_or(false);
  request->include_usage = body.at("stream_options").at("include_usage").boolean_or(false);
  expect_no_other_sampling(body);
  return options;
}

// A prompt becomes `choices` completions with seeds one after the other.
void add_prompt(CompletionRequest one, const ServedModel& model, TextRequest* request) {
  const size_t context = model.scheduler->context();
  if (one.prompt.empty()) throw_usage("the prompt has no tokens, expected at least one");
  if (one.prompt.size() > context) {
    throw ApiError(400,
                   fmt::format("the prompt has {} tokens, expected at most {} (the model's context, or --context)",
                               one.prompt.size(), context),
                   "context_length_exceeded");
  }
  // Before the prompt is copied for all choices.
  const size_t most = model.scheduler->most_at_once();
  if (request->completions.size() + request->choices > most) {
    throw ApiError(400, fmt::format("expected at most {} completions in one request, found more", most));
  }
  for (size_t i = 0; i < request->choices; ++i) {
    request->completions.push_back(one);
    ++one.options.sampling.seed;
  }
}

std::vector<TokenId> parse_ids(const JsonField& field, size_t vocab_size) {
  std::vector<TokenId> ids;
  for (size_t i = 0; i < field.array().size(); ++i)
    ids.push_back(static_cast<TokenId>(field.item(i).number(vocab_size - 1)));
  return ids;
}

// Calls body(text, ids) for every input: a text, ids of tokens (then text is null), or a list of either.
template <typename Body>
void for_each_input(const JsonField& field, size_t vocab_size, const Body& body) {
  if (field.present() && field.value->is_string()) return body(&field.string(), {});
  const json& list = field.array();
  if (!list.empty() && list[0].is_number()) return body(nullptr, parse_ids(field, vocab_size));
  if (list.empty() || list.size() > kMostTexts) {
    throw_usage("{}: expected 1 to {} texts, found {}", field.where, kMostTexts, list.size());
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].is_string()) {
      body(&field.item(i).string(), {});
    } else {
      body(nullptr, parse_ids(field.item(i), vocab_size));
    }
  }
}

void expect_language_model(const ServedModel& model) {
  if (!model.scheduler) throw_usage("{} is an encoder, which makes embeddings: expected a language model", model.id);
}

// A message as templates know it: content that is a list of texts as one text, arguments of tools as objects.
void normalize_message(ordered_json& message, const std::string& where) {
  if (!message.is_object()) throw_usage("{}: expected an object with role and content", where);
  if (message.contains("content") && message["content"].is_array()) {
    std::string all;
    for (const ordered_json& part : message["content"]) {
      const bool text = part.is_object() && part.contains("type") && part["type"] == "text" && part.contains("text") &&
                        part["text"].is_string();
      if (!text) throw_usage("{}.content: expected parts of the type 'text'", where);
      if (!all.empty()) all += '\n';
      all += part["text"].get_ref<const std::string&>();
    }
    message["content"] = all;
  }
  // Clients leave out what an assistant says beside a call; many templates cannot do without.
  if (!message.contains("content") || message["content"].is_null()) message["content"] = "";
  if (!message.contains("tool_calls") || !message["tool_calls"].is_array()) return;
  for (ordered_json& call : message["tool_calls"]) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
    ordered_json& function = call["function"];
    if (!function.contains("arguments") || !function["arguments"].is_string()) continue;
    ordered_json arguments = ordered_json::parse(function["arguments"].get<std::string>(), nullptr, false);
    if (arguments.is_object()) function["arguments"] = std::move(arguments);
  }
}

// The conversation that the template gets.
std::string conversation_of(const std::string& text) {
  ordered_json body = parse_ordered_json(text, "request");
  ordered_json conversation;
  if (body.contains("chat_template_kwargs")) {
    if (!body["chat_template_kwargs"].is_object()) throw_usage("request.chat_template_kwargs: expected an object");
    conversation = body["chat_template_kwargs"];
  }
  ordered_json& messages = body["messages"];
  if (!messages.is_array() || messages.empty()) throw_usage("request.messages: expected a list of messages");
  for (size_t i = 0; i < messages.size(); ++i) normalize_message(messages[i], fmt::format("request.messages[{}]", i));
  conversation["messages"] = std::move(messages);
  const std::string choice =
      body.contains("tool_choice") && !body["tool_choice"].is_null() ? body["tool_choice"].dump() : "\"auto\"";
  if (choice != "\"auto\"" && choice != "\"none\"")
    throw_usage("request.tool_choice: expected \"auto\" or \"none\", found {}", printable(choice, 60));
  if (body.contains("tools") && choice == "\"auto\"") conversation["tools"] = body["tools"];
  return conversation.dump();
}

}  // namespace

TextRequest parse_completion(const json& text, const ServedModel& model) {
  expect_language_model(model);
  const JsonField body = root(text);
  TextRequest request;
  CompletionRequest one;
  one.options = parse_options(body, &request, 16);
  request.echo = body.at("echo").boolean_or(false);
  if (body.at("logprobs").present()) one.top_logprobs = body.at("logprobs").number(kMostLogprobs);
  one.score_prompt = request.echo && one.top_logprobs;
  expect_default(body.at("suffix"), "");
  expect_default(body.at("best_of"), request.choices);
  for_each_input(body.at("prompt"), model.transformer->config().vocab_size,
                 [&](const std::string* s, const std::vector<TokenId>& ids) {
                   one.prompt = s != nullptr ? model.tokenizer->encode(*s) : ids;
                   add_prompt(one, model, &request);
                   if (request.echo) request.prompts.push_back(s != nullptr ? *s : model.tokenizer->decode(ids, true));
                 });
  return request;
}

TextRequest parse_chat(const json& body_json, const std::string& text, const ServedModel& model) {
  expect_language_model(model);
  const JsonField body = root(body_json);
  TextRequest request;
  request.chat = true;
  CompletionRequest one;
  one.options = parse_options(body, &request, kMostTokens);
  const uint64_t top = number_or(body.at("top_logprobs"), kMostLogprobs, 0);
  if (body.at("logprobs").boolean_or(false)) one.top_logprobs = top;
  for (const char* name : {"functions", "function_call"}) expect_default(body.at(name), nullptr);
  one.prompt = model.tokenizer->encode(render_chat(*model.tokenizer, conversation_of(text), "request", {}),
                                       {.add_special = false, .parse_special = true});
  add_prompt(one, model, &request);
  return request;
}

EmbeddingsRequest parse_embeddings(const json& text, const ServedModel& model) {
  if (!model.encoder) throw_usage("{} makes no embeddings: expected an encoder", model.id);
  const JsonField body = root(text);
  const ModelConfig& config = model.encoder->config();
  EmbeddingsRequest request;
  const std::string format = body.at("encoding_format").string_or("float");
  if (format != "float" && format != "base64") {
    throw_usage("request.encoding_format: expected \"float\" or \"base64\", found \"{}\"", printable(format, 60));
  }
  request.base64 = format == "base64";
  if (body.at("dimensions").present()) request.dimensions = body.at("dimensions").number(kMostTokens);
  for_each_input(body.at("input"), config.vocab_size, [&](const std::string* s, const std::vector<TokenId>& ids) {
    if (s != nullptr) {
      request.texts.push_back(*s);
    } else {
      request.ids.push_back(ids);
    }
  });
  if (!request.texts.empty() && !request.ids.empty()) {
    throw_usage("request.input: expected texts or token ids, found both");
  }
  return request;
}

}  // namespace occ
