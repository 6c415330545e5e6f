#include "tokenizer/chat.h"

#include <initializer_list>

#include "base/error.h"
#include "tokenizer/limits.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

struct Turn {
  std::string before, after;
};

enum class SystemPlace { kTurn, kFirstUser, kRefused };

struct Format {
  std::string begin;           // before all messages
  std::string default_system;  // system message if the first one is none
  bool always_system = false;  // a system turn even if that is empty
  SystemPlace system_place = SystemPlace::kTurn;
  Turn system, user, assistant;
  std::string generation;        // beginning of an answer
  std::string end;               // after all messages where no answer begins
  bool trim = false;             // messages without white space around them
  bool trim_user_whole = false;  // in place of this: user messages together with the system message in them
  bool alternate = false;        // user, assistant, user, ... is required
  bool drops_reasoning = false;  // of answers only what follows </think>; the last message may not be one
};

struct Template {
  std::string text, bos, eos;
  bool has(std::string_view part) const { return text.find(part) != std::string::npos; }
  bool has_any(std::initializer_list<std::string_view> parts) const {
    for (const std::string_view part : parts) {
      if (has(part)) return true;
    }
    return false;
  }
  std::string bos_if_used() const { return has("bos_token") ? bos : ""; }
};

std::string trimmed(const std::string& text) {
  size_t begin = std::string::npos, end = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    if (is_white_space(next_char(text, at))) continue;
    if (begin == std::string::npos) begin = here;
    end = at;
  }
  return begin == std::string::npos ? "" : text.substr(begin, end - begin);
}

// ChatML; SmolLM2, Qwen2 and others say what stands in a system message that is not given.
Format chatml(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  for (Turn* turn : {&f.system, &f.user, &f.assistant}) turn->after = "<|im_end|>\n";
  f.system.before = "<|im_start|>system\n";
  f.user.before = "<|im_start|>user\n";
  f.assistant.before = f.generation = "<|im_start|>assistant\n";
  const std::string text = replace_all(replace_all(t.text, "\\n", "\n"), "\\'", "'");
  for (size_t at = text.find(f.system.before); at != std::string::npos; at = text.find(f.system.before, at)) {
    at += f.system.before.size();
    const std::string words = text.substr(at, text.find("<|im_end|>", at) - at);
    // Code follows where the template puts the given message.
    if (!words.starts_with('\'') && !words.starts_with('"') && words.find("{{") == std::string::npos &&
        words.find(" + ") == std::string::npos) {
      f.default_system = words;
    }
  }
  return f;
}

Format llama3(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  f.trim = true;
  const auto turn = [](const std::string& role) {
    return Turn{"<|start_header_id|>" + role + "<|end_header_id|>\n\n", "<|eot_id|>"};
  };
  f.system = turn("system");
  f.user = turn("user");
  f.assistant = turn("assistant");
  f.generation = f.assistant.before;
  // Llama 3.1 and later tell dates; where the template would ask for today's, its own other one is taken, so that the
  // same conversation is the same text on every day.
  if (t.has("Cutting Knowledge Date: ")) {
    f.system.before += "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
    f.always_system = true;
  }
  return f;
}

Format llama2(const Template& t) {
  Format f;
  f.system_place = SystemPlace::kFirstUser;
  f.system = {"<<SYS>>\n", "\n<</SYS>>\n\n"};
  f.user = {t.bos + "[INST] ", " [/INST]"};
  f.assistant = {" ", " " + t.eos};
  f.trim = f.trim_user_whole = f.alternate = true;
  return f;
}

// Mistral's first one, for 7B v0.1 and v0.2.
Format mistral(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  f.system_place = SystemPlace::kRefused;
  f.user = {"[INST] ", " [/INST]"};
  f.assistant = {"", t.eos + (t.has("eos_token + ' '") ? " " : "")};
  f.alternate = true;
  return f;
}

// Its successor ("v1") with a system message and a space before everything.
Format mistral_spaced(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  f.system_place = SystemPlace::kFirstUser;
  f.system = {"", "\n\n"};
  f.user = {" [INST] ", " [/INST]"};
  f.assistant = {" ", t.eos};
  f.alternate = true;
  return f;
}

Format mistral_v7(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  f.system = {"[SYSTEM_PROMPT] ", "[/SYSTEM_PROMPT]"};
  f.user = {"[INST] ", "[/INST]"};
  f.assistant = {" ", t.eos};
  return f;
}

Format phi3(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  const std::string line = t.has_any({"\\n", "\n"}) ? "\n" : "";
  const auto turn = [&](const std::string& role) { return Turn{"<|" + role + "|>" + line, "<|end|>" + line}; };
  f.system = turn("system");
  f.user = turn("user");
  f.assistant = turn("assistant");
  f.generation = f.assistant.before;
  if (!t.has_any({"system", "message['role'] + '|>'"})) f.system_place = SystemPlace::kRefused;
  if (t.has("{% else %}{{ eos_token }}")) f.end = t.eos;
  return f;
}

Format zephyr(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  const std::string end = t.has("eos_token") ? t.eos : "<|endoftext|>";
  const auto turn = [&](const std::string& role) { return Turn{"<|" + role + "|>\n", end + "\n"}; };
  f.system = turn("system");
  f.user = turn("user");
  f.assistant = turn("assistant");
  f.generation = "<|assistant|>\n";
  if (!t.has("system")) f.system_place = SystemPlace::kRefused;
  return f;
}

Format gemma(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  f.system_place = t.has("first_user_prefix") ? SystemPlace::kFirstUser : SystemPlace::kRefused;
  f.system = {"", "\n\n"};
  f.user = {"<start_of_turn>user\n", "<end_of_turn>\n"};
  f.assistant = {"<start_of_turn>model\n", "<end_of_turn>\n"};
  f.generation = f.assistant.before;
  f.trim = f.alternate = true;
  return f;
}

Format deepseek(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  f.system = {"", "\n\n"};
  f.user = {"User: ", "\n\n"};
  f.assistant = {"Assistant: ", t.eos};
  f.generation = "Assistant:";
  return f;
}

Format vicuna(const Template& t) {
  Format f;
  f.begin = t.bos_if_used();
  f.system = t.has("SYSTEM: ") ? Turn{"SYSTEM: ", "\n"} : Turn{"", "\n\n"};
  f.user = {"USER: ", "\n"};
  f.assistant = {"ASSISTANT: ", "</s>\n"};
  f.generation = "ASSISTANT:";
  return f;
}

Format format_of(const Template& t, const std::string& what) {
  // What no family here does: answers without their reasoning, dates.
  const bool more = t.has_any({"<think>", "reasoning_content", "strftime_now", "date_string"});
  const bool trims = t.has_any({"strip()", "| trim", "|trim"});
  const bool inst = t.has("[INST]");
  if (t.has("<|im_start|>") && t.has("content.split('</think>')[-1].lstrip('\\n')") && !trims && !inst) {
    Format f = chatml(t);
    f.drops_reasoning = true;
    return f;
  }
  const bool dated = t.has("Cutting Knowledge Date: December 2023") && t.has("26 Jul 2024");
  if (dated && t.has("<|start_header_id|>") && t.has("<|eot_id|>") && trims) return llama3(t);
  if (!more) {
    if (t.has("<|im_start|>") && t.has("<|im_end|>") && !t.has("<|im_sep|>") && !trims && !inst) return chatml(t);
    if (t.has("<|start_header_id|>") && t.has("<|eot_id|>") && trims) return llama3(t);
    if (inst && t.has("<<SYS>>") && trims && t.has("bos_token + '[INST] '")) return llama2(t);
    if (inst && t.has("[SYSTEM_PROMPT] ") && !trims) return mistral_v7(t);
    if (inst && t.has("' [INST] ' + system_message") && !trims) return mistral_spaced(t);
    if (inst && t.has("'[INST] ' + message['content'] + ' [/INST]'") && !trims && !t.has("system")) return mistral(t);
    if (t.has("<start_of_turn>") && t.has("<end_of_turn>") && trims) return gemma(t);
    if (t.has("<|end|>") && t.has_any({"<|user|>", "'<|' + message['role']"}) && !trims) return phi3(t);
    if (t.has("<|user|>\\n") || t.has("<|user|>\n")) {
      if (t.has_any({"message['content'] + eos_token", "message['content'] + '<|endoftext|>'"}) && !trims) {
        return zephyr(t);
      }
    }
    if (t.has("'User: ' + message['content'] + '") && t.has("'Assistant: ' + message['content'] + eos_token")) {
      return deepseek(t);
    }
    if (t.has("'USER: ' + message['content'] + '") && t.has("'ASSISTANT: ' + message['content'] + '</s>")) {
      return vicuna(t);
    }
  }
  throw_input(
      "{}: chat template: expected one of the families ChatML (SmolLM2, Qwen2, Qwen3), Llama-2, Llama-3, Mistral (7B "
      "v0.1 to "
      "v0.2, v1, v7), Phi-3, Zephyr (TinyLlama), Gemma, DeepSeek (LLM, V2), Vicuna, found another one",
      what);
}

}  // namespace

std::string render_chat(const Tokenizer& tokenizer, std::span<const ChatMessage> messages, bool add_generation_prompt) {
  Template t{tokenizer.chat_template(), "", ""};
  if (t.text.empty()) throw_input("the model has no chat template: expected tokenizer_config.json or GGUF with one");
  if (t.text.size() > kMaxTemplateBytes) {
    throw_input("the model's chat template: expected at most {} bytes, found {}", kMaxTemplateBytes, t.text.size());
  }
  if (const auto bos = tokenizer.bos()) t.bos = tokenizer.piece(*bos, true);
  const auto ends = tokenizer.end_of_generation();
  if (!ends.empty()) t.eos = tokenizer.piece(ends[0], true);
  const Format f = format_of(t, "the model");

  std::string out = f.begin, system_in_user;
  const bool has_system = !messages.empty() && messages[0].role == "system";
  if (!has_system && (f.always_system || !f.default_system.empty()) && !messages.empty()) {
    out += f.system.before + f.default_system + f.system.after;
  }
  bool user_is_next = true;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    const std::string text = replace_invalid_utf8(messages[i].content);
    std::string content = f.trim ? trimmed(text) : text;
    if (role == "system") {
      if (f.system_place == SystemPlace::kRefused) throw_usage("the model's chat template has no system messages");
      if (f.system_place == SystemPlace::kFirstUser) {
        if (i > 0) throw_usage("the model's chat template takes one system message, the first, found number {}", i + 1);
        system_in_user = f.system.before + text + f.system.after;
      } else {
        out += f.system.before + content + f.system.after;
      }
      continue;
    }
    const bool user = role == "user";
    if (!user && role != "assistant") throw_usage("chat: expected role system, user or assistant, found '{}'", role);
    const size_t thought = user || !f.drops_reasoning ? std::string::npos : content.rfind("</think>");
    if (thought != std::string::npos) {
      const size_t answer = content.find_first_not_of('\n', thought + 8);
      content = answer == std::string::npos ? "" : content.substr(answer);
    }
    if (!user && f.drops_reasoning && i + 1 == messages.size()) {
      throw_usage("the model's chat template treats a last answer in its own way: expected a last message by user");
    }
    if (f.alternate && user != user_is_next) {
      throw_usage("the model's chat template expects user and assistant in turn, found '{}' in place {}", role, i + 1);
    }
    user_is_next = !user;
    if (user && !system_in_user.empty()) {
      out += f.user.before + (f.trim_user_whole ? trimmed(system_in_user + text) : system_in_user + content) +
             f.user.after;
      system_in_user.clear();
    } else {
      const Turn& turn = user ? f.user : f.assistant;
      out += turn.before + content + turn.after;
    }
  }
  return out + (add_generation_prompt ? f.generation : f.end);
}

}  // namespace occ
