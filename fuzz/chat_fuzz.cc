// The input is a chat template, a NUL byte and a conversation in JSON (a short one if there is none). Any bytes must be
// refused with occ::Error or give a text that is valid UTF-8, within bounded time and memory.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "chat/chat.h"
#include "occ/error.h"
#include "tokenizer/unicode.h"

namespace {

class TemplateOnly final : public occ::Tokenizer {
 public:
  explicit TemplateOnly(std::string text) : text_(std::move(text)) {}
  std::vector<occ::TokenId> encode(std::string_view, const occ::EncodeOptions&) const override { return {}; }
  std::string piece(occ::TokenId, bool) const override { return ""; }
  std::string decode(std::span<const occ::TokenId>, bool) const override { return ""; }
  size_t vocab_size() const override { return 1; }
  std::optional<occ::TokenId> find(std::string_view) const override { return std::nullopt; }
  std::optional<occ::TokenId> bos() const override { return std::nullopt; }
  std::vector<occ::TokenId> end_of_generation() const override { return {}; }
  bool adds_bos() const override { return false; }
  const std::string& chat_template() const override { return text_; }
  std::vector<std::pair<std::string, std::string>> named_tokens() const override {
    return {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  }

 private:
  std::string text_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint8_t* end = data + size;
  const uint8_t* stop = std::find(data, end, uint8_t{0});
  const TemplateOnly tokenizer(occ::replace_invalid_utf8(std::string(data, stop)));
  std::string conversation(stop == end ? end : stop + 1, end);
  if (conversation.empty()) {
    conversation =
        R"({"messages": [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "", "tool_calls":
      [{"function": {"name": "f", "arguments": {"x": [1, 2.5, null]}}}]}], "tools": [{"function": {"name": "f"}}]})";
  }
  try {
    const std::string text = occ::render_chat(tokenizer, conversation, "fuzz", {true, occ::kFixedChatTime});
    OCC_CHECK(occ::replace_invalid_utf8(text) == text);
  } catch (const occ::Error&) {
  }
  return 0;
}
