// Writes the messages of a conversation as the text that a chat model was trained on, by running the model's own
// template, a program in the Jinja language. The text is the one that transformers' apply_chat_template makes: keys of
// messages whose value is null are left out, reasoning is also found under the other names that templates use for it,
// and special tokens are variables such as `bos_token`.
#pragma once

#include <ctime>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tokenizer/tokenizer.h"

namespace occ {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant", and what else the template knows
  std::string content;
};

// 26 July 2024, the date that Llama's templates take where they cannot ask for one. A fixed time makes the text of a
// conversation the same on every day.
inline constexpr std::time_t kFixedChatTime = 1721995200;

struct ChatOptions {
  bool add_generation_prompt = true;  // with the beginning of an answer
  std::optional<std::time_t> time;    // what strftime_now() prints, in local time; none: now
};

// The text that the model's template makes of the messages. It must be encoded with add_special = false (the text begins
// with BOS if the template writes it) and parse_special = true. Strings of special tokens inside a message become these
// tokens, as with transformers. Throws an input error for a model without a template or with one that is wrong or takes
// too long (chat/interpreter.h has the limits), and a usage error if the template refuses the messages.
std::string render_chat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, const ChatOptions& options);

// The same for a JSON document, a list of messages or an object with `messages` and perhaps `tools` and other variables
// of the template. Messages may have any keys. `what`: the name of the document, for errors.
std::string render_chat(const Tokenizer& tokenizer, std::string_view json, const std::string& what,
                        const ChatOptions& options);

}  // namespace occ
