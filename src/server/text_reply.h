// Answers of /v1/completions and /v1/chat/completions as JSON, whole or as the pieces of a stream.
#pragma once

#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/requests.h"

namespace occ {

class TextReply {
 public:
  // model must outlive the reply.
  TextReply(TextRequest request, const ServedModel& model);
  const TextRequest& request() const { return request_; }

  // Adds what is new about a completion. chunk() is its event in a stream.
  void add(size_t completion, const CompletionNews& news);
  nlohmann::ordered_json chunk(size_t completion, const CompletionNews& news);
  // Everything that was added, once all completions have ended.
  nlohmann::ordered_json whole() const;
  // The last event of a stream that is asked for its usage.
  nlohmann::ordered_json usage_chunk() const;

 private:
  // Before the next scored token.
  struct Place {
    size_t tokens = 0, bytes = 0, characters = 0;  // of the text with the echo; bytes are counted in the echo only
  };
  struct Choice {
    std::string text;
    std::vector<ScoredToken> scores;
    std::optional<Generated::End> end;
    size_t tokens = 0, reused = 0;
    Place place;
    bool begun = false;
  };
  nlohmann::ordered_json head(bool chunk) const;
  nlohmann::ordered_json usage() const;
  nlohmann::ordered_json logprobs(size_t completion, const std::vector<ScoredToken>& scores, Place* place) const;
  void pass(size_t completion, TokenId token, const std::string& echo, Place* place) const;
  nlohmann::ordered_json finish_reason(const std::optional<Generated::End>& end) const;
  std::string echoed(size_t completion) const;

  TextRequest request_;
  const ServedModel& model_;
  std::string id_;
  std::time_t created_;
  std::vector<Choice> choices_;
};

// One line of JSON; bytes that are not UTF-8 become U+FFFD.
std::string json_line(const nlohmann::ordered_json& value);

}  // namespace occ
