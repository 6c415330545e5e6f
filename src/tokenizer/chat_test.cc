// Chat templates against jinja2 (tests/expected/chat/make.py).
#include "tokenizer/chat.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "io/json.h"
#include "occ/error.h"
#include "test_data.h"

namespace occ {
namespace {

using nlohmann::json;

// Only what templates ask for: BOS is <s>, EOS </s>.
std::unique_ptr<Tokenizer> tokenizer_with(const std::string& chat_template) {
  const json tokenizer = {
      {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"<s>", 1}, {"</s>", 2}}}, {"merges", json::array()}}}};
  const json config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"chat_template", chat_template}};
  const auto file = [](const char* name, const std::string& text) {
    return SideFile{name, Bytes(text.begin(), text.end())};
  };
  return make_tokenizer({file("tokenizer.json", tokenizer.dump()), file("tokenizer_config.json", config.dump())}, "m");
}

TEST(Chat, SameAsJinja) {
  const json expected = parse_json_file(source_folder() / "tests/expected/chat/expected.json");
  size_t refused = 0;
  for (const json& c : expected.at("cases")) {
    const auto tokenizer = tokenizer_with(expected.at("templates").at(c.at("name").get<std::string>()));
    std::vector<ChatMessage> messages;
    for (const json& m : c.at("messages")) messages.push_back({m[0], m[1]});
    if (c.at("result").is_null()) {
      ++refused;
      EXPECT_THROW(render_chat(*tokenizer, messages, c.at("generate")), Error) << c;
    } else {
      EXPECT_EQ(render_chat(*tokenizer, messages, c.at("generate")), c.at("result")) << c;
    }
  }
  EXPECT_GT(refused, 10u);
  EXPECT_LT(refused, expected.at("cases").size() / 3);
}

TEST(Chat, Errors) {
  const std::vector<ChatMessage> one = {{"user", "x"}};
  EXPECT_THROW(render_chat(*tokenizer_with(""), one, true), Error);
  try {
    render_chat(*tokenizer_with("{{ messages }}"), one, true);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("ChatML"));
  }
  const auto chatml = tokenizer_with("<|im_start|><|im_end|>");
  const std::vector<ChatMessage> tool = {{"tool", "x"}};
  EXPECT_THROW(render_chat(*chatml, tool, true), Error);
  const auto llama3 = tokenizer_with("<|start_header_id|><|eot_id|> | trim");
  const std::vector<ChatMessage> broken = {{"user", " x\xE2\x82"}};
  EXPECT_THAT(render_chat(*llama3, broken, true), ::testing::HasSubstr("x\uFFFD<|eot_id|>"));
  EXPECT_EQ(render_chat(*chatml, {}, true), "<|im_start|>assistant\n");
}

}  // namespace
}  // namespace occ
