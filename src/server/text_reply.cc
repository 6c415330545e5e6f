#include "server/text_reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace occ {
namespace {

using nlohmann::ordered_json;

std::string new_id(bool chat) {
  std::random_device random;
  return fmt::format("{}{:08x}{:08x}", chat ? "chatcmpl-" : "cmpl-", random(), random());
}

size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// With U+FFFD for bytes that are not UTF-8, as it will be written.
std::string replaced(const std::string& text) { return ordered_json::parse(json_line(text)).get<std::string>(); }

}  // namespace

std::string json_line(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

TextReply::TextReply(TextRequest request, const ServedModel& model)
    : request_(std::move(request)),
      model_(model),
      id_(new_id(request_.chat)),
      created_(std::time(nullptr)),
      choices_(request_.completions.size()) {}

void TextReply::add(size_t completion, const CompletionNews& news) {
  Choice& choice = choices_[completion];
  if (!request_.stream) {
    choice.text += news.text;
    choice.scores.insert(choice.scores.end(), news.scores.begin(), news.scores.end());
  }
  choice.tokens = news.tokens;
  choice.reused = news.reused_tokens;
  choice.end = news.end;
}

ordered_json TextReply::head(bool chunk) const {
  ordered_json reply;
  reply["id"] = id_;
  reply["object"] = request_.chat ? (chunk ? "chat.completion.chunk" : "chat.completion") : "text_completion";
  reply["created"] = created_;
  reply["model"] = model_.id;
  return reply;
}

ordered_json TextReply::finish_reason(const std::optional<Generated::End>& end) const {
  if (!end) return nullptr;
  return *end == Generated::End::kLength || *end == Generated::End::kContext ? "length" : "stop";
}

std::string TextReply::echoed(size_t completion) const {
  return request_.echo ? request_.prompts[completion / request_.choices] : std::string();
}

// Goes on behind a token. Tokens that the tokenizer put around the prompt are not in the echo, and neither is a space that
// it put before the first word.
void TextReply::pass(size_t completion, TokenId token, const std::string& echo, Place* place) const {
  const CompletionRequest& asked = request_.completions[completion];
  std::string piece = model_.tokenizer->piece(token, false);
  if (asked.score_prompt && place->tokens < asked.prompt.size()) {
    const auto comes_next = [&](const std::string& s) { return echo.compare(place->bytes, s.size(), s) == 0; };
    const std::string shown = model_.tokenizer->piece(token, true);
    if (comes_next(shown)) {
      piece = shown;
    } else if (piece.starts_with(' ') && comes_next(piece.substr(1))) {
      piece.erase(0, 1);
    }
    place->bytes = std::min(echo.size(), place->bytes + piece.size());
  }
  ++place->tokens;
  place->characters += characters(piece);
}

ordered_json TextReply::logprobs(size_t completion, const std::vector<ScoredToken>& scores, Place* place) const {
  if (!request_.completions[completion].top_logprobs) return nullptr;
  const auto text = [&](TokenId token) { return model_.tokenizer->piece(token, true); };
  ordered_json reply;
  if (request_.chat) {
    const auto entry = [&](TokenId token, float logprob) {
      ordered_json e;
      const std::string piece = text(token);
      e["token"] = piece;
      e["logprob"] = logprob;
      e["bytes"] = std::vector<unsigned char>(piece.begin(), piece.end());
      return e;
    };
    reply["content"] = ordered_json::array();
    for (const ScoredToken& s : scores) {
      ordered_json e = entry(s.token, s.logprob.value_or(0));
      e["top_logprobs"] = ordered_json::array();
      for (const auto& [token, logprob] : s.top) e["top_logprobs"].push_back(entry(token, logprob));
      reply["content"].push_back(std::move(e));
    }
    return reply;
  }
  for (const char* name : {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
    reply[name] = ordered_json::array();
  const std::string echo = echoed(completion);
  for (const ScoredToken& s : scores) {
    const std::string piece = text(s.token);
    reply["tokens"].push_back(piece);
    reply["token_logprobs"].push_back(s.logprob ? ordered_json(*s.logprob) : ordered_json());
    ordered_json top;
    // Two tokens may have one text, also because of bytes that are no characters: the likelier one counts.
    for (const auto& [token, logprob] : s.top) top.emplace(replaced(text(token)), logprob);
    reply["top_logprobs"].push_back(s.logprob ? std::move(top) : ordered_json());
    reply["text_offset"].push_back(place->characters);
    pass(completion, s.token, echo, place);
  }
  return reply;
}

ordered_json TextReply::usage() const {
  size_t prompt = 0, reused = 0, tokens = 0;
  for (size_t i = 0; i < choices_.size(); ++i) {
    tokens += choices_[i].tokens;
    if (i % request_.choices != 0) continue;
    prompt += request_.completions[i].prompt.size();
    reused += choices_[i].reused;
  }
  ordered_json u;
  u["prompt_tokens"] = prompt;
  u["completion_tokens"] = tokens;
  u["total_tokens"] = prompt + tokens;
  u["prompt_tokens_details"]["cached_tokens"] = reused;
  return u;
}

ordered_json TextReply::whole() const {
  ordered_json reply = head(false);
  reply["choices"] = ordered_json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    ordered_json choice;
    choice["index"] = i;
    if (request_.chat) {
      choice["message"]["role"] = "assistant";
      choice["message"]["content"] = choices_[i].text;
    } else {
      choice["text"] = echoed(i) + choices_[i].text;
    }
    Place place;
    choice["logprobs"] = logprobs(i, choices_[i].scores, &place);
    choice["finish_reason"] = finish_reason(choices_[i].end);
    reply["choices"].push_back(std::move(choice));
  }
  reply["usage"] = usage();
  return reply;
}

ordered_json TextReply::chunk(size_t completion, const CompletionNews& news) {
  Choice& state = choices_[completion];
  ordered_json choice;
  choice["index"] = completion;
  if (request_.chat) {
    choice["delta"] = ordered_json::object();
    if (!state.begun) choice["delta"]["role"] = "assistant";
    if (!state.begun || !news.text.empty()) choice["delta"]["content"] = news.text;
  } else {
    choice["text"] = (state.begun ? std::string() : echoed(completion)) + news.text;
  }
  choice["logprobs"] = logprobs(completion, news.scores, &state.place);
  choice["finish_reason"] = finish_reason(news.end);
  state.begun = true;
  ordered_json reply = head(true);
  reply["choices"] = ordered_json::array({std::move(choice)});
  return reply;
}

ordered_json TextReply::usage_chunk() const {
  ordered_json reply = head(true);
  reply["choices"] = ordered_json::array();
  reply["usage"] = usage();
  return reply;
}

}  // namespace occ
