// Requests of the API of OpenAI, from JSON. What is not supported is an error and not ignored, unless it asks for what
// happens anyway. All functions throw an ApiError or an input or usage error that names the member.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/served_model.h"

namespace occ {

// Of /v1/completions and /v1/chat/completions.
struct TextRequest {
  std::vector<CompletionRequest> completions;  // `choices` of every prompt, one prompt after the other
  std::vector<std::string> prompts;            // as text, only with `echo`
  size_t choices = 1;
  bool chat = false, stream = false, include_usage = false, echo = false;
};
TextRequest parse_completion(const nlohmann::json& body, const ServedModel& model);
// text: the body, whose messages are given to the template with their keys in order.
TextRequest parse_chat(const nlohmann::json& body, const std::string& text, const ServedModel& model);

// Of /v1/embeddings.
struct EmbeddingsRequest {
  std::vector<std::string> texts;         // or, if there are none:
  std::vector<std::vector<TokenId>> ids;  // texts as tokens
  bool base64 = false;
  std::optional<size_t> dimensions;  // that the vectors must have
};
EmbeddingsRequest parse_embeddings(const nlohmann::json& body, const ServedModel& model);

}  // namespace occ
