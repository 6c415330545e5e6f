// Messages of a conversation as the text that a chat model was trained on.
//
// A model brings its own template (Jinja). There is no interpreter of Jinja here: the family is recognised by strings
// in the template, and so are the choices that differ within it (default system prompt, where spaces are cut off,
// whether BOS is written). Tools, images and dates are not supported.
#pragma once

#include <span>
#include <string>

#include "tokenizer/tokenizer.h"

namespace occ {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// What the model's template makes of the messages; `add_generation_prompt`: with the beginning of an answer. To be
// encoded with add_special = false (BOS is in the text where the template has it) and parse_special = true. Special
// strings in a message become tokens, as they do there. Input error for a model without a template or with an unknown
// one (naming the known families), usage error for roles and orders that the template refuses.
std::string render_chat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, bool add_generation_prompt);

}  // namespace occ
