// Writes the messages of a conversation as the text that a chat model was trained on.
//
// A model has its own template, a program in the Jinja language. We have no interpreter for Jinja. Instead, the family
// of the template is recognised by strings in it, and so are the details in which templates of one family differ: the
// default system prompt, where white space is removed, whether BOS is written. Tools, images and dates are not
// supported.
#pragma once

#include <span>
#include <string>

#include "tokenizer/tokenizer.h"

namespace occ {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// The text that the model's template makes of the messages, with the beginning of an answer if `add_generation_prompt`.
// It must be encoded with add_special = false (the text begins with BOS if the template writes it) and
// parse_special = true. Strings of special tokens inside a message become these tokens, as with the original template.
// Throws an input error for a model without a template or with an unknown one (naming the known families), and a usage
// error for roles or an order of messages that the template refuses.
std::string render_chat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, bool add_generation_prompt);

}  // namespace occ
