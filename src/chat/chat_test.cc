// Chat templates against transformers and jinja2 (tests/expected/chat/make.py).
#include "chat/chat.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/json.h"
#include "occ/error.h"
#include "test_data.h"

namespace occ {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Only what templates ask for: BOS is <s>, EOS </s>.
std::unique_ptr<Tokenizer> tokenizer_with(const json& chat_template) {
  const json tokenizer = {
      {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"<s>", 1}, {"</s>", 2}}}, {"merges", json::array()}}}};
  const json config = {{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}, {"chat_template", chat_template}};
  const auto file = [](const char* name, const std::string& text) {
    return SideFile{name, Bytes(text.begin(), text.end())};
  };
  return make_tokenizer({file("tokenizer.json", tokenizer.dump()), file("tokenizer_config.json", config.dump())}, "m");
}

std::string read_text(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

const ordered_json& expected() {
  static const ordered_json file =
      parse_ordered_json(read_text(source_folder() / "tests/expected/chat/expected.json"), "expected.json");
  return file;
}

// The text of a conversation, or nothing if it is refused.
std::optional<std::string> rendered(const std::string& chat_template, const ordered_json& conversation, bool generate) {
  try {
    return render_chat(*tokenizer_with(chat_template), conversation.dump(), "chat", {generate, kFixedChatTime});
  } catch (const Error&) {
    return std::nullopt;
  }
}

TEST(Chat, SameAsJinja) {
  size_t refused = 0;
  for (const ordered_json& c : expected().at("cases")) {
    const auto tokenizer = tokenizer_with(expected().at("templates").at(c.at("name").get<std::string>()));
    std::vector<ChatMessage> messages;
    for (const ordered_json& m : c.at("messages")) messages.push_back({m[0], m[1]});
    const ChatOptions options{c.at("generate"), kFixedChatTime};
    if (c.at("result").is_null()) {
      ++refused;
      EXPECT_THROW(render_chat(*tokenizer, messages, options), Error) << c;
    } else {
      EXPECT_EQ(render_chat(*tokenizer, messages, options), c.at("result")) << c;
    }
  }
  EXPECT_GT(refused, 10u);
  EXPECT_LT(refused, expected().at("cases").size() / 3);
}

TEST(Chat, EveryPartOfTheLanguage) {
  for (const ordered_json& c : expected().at("features")) {
    const auto text = rendered(c[0], expected().at("chat"), true);
    if (c[1].is_null()) {
      EXPECT_FALSE(text.has_value()) << c << "\n" << *text;
    } else {
      EXPECT_TRUE(text.has_value()) << c;
      EXPECT_EQ(text.value_or(""), c[1].get<std::string>()) << c;
    }
  }
}

TEST(Chat, TemplatesOfRealModels) {
  const std::filesystem::path folder = test_data_folder() / "chat_templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  for (const auto& [name, hashes] : expected().at("files").items()) {
    const std::string text = read_text(folder / name);
    ASSERT_FALSE(text.empty()) << name;
    for (size_t i = 0; i < hashes.size(); ++i) {
      uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
      for (const bool generate : {true, false}) {
        for (const char c : rendered(text, expected().at("conversations")[i], generate).value_or("\xFF") + '\0') {
          hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
        }
      }
      EXPECT_EQ(fmt::format("{:016x}", hash), hashes[i].get<std::string>()) << name << " conversation " << i;
    }
  }
}

TEST(Chat, HostileTemplatesEndQuickly) {
  const std::string many(100'000, '(');
  std::string chain = "{{ 1", nested, pairs = "{% set x = [1] %}";
  for (int i = 0; i < 100'000; ++i) chain += " + 1";
  for (int i = 0; i < 20'000; ++i) nested += "{% if 1 %}";
  for (int i = 0; i < 90; ++i) pairs += "{% set x = [x, x] %}";
  const std::string templates[] = {
      "{{ " + many,
      "{{ " + std::string(100'000, '-') + "1 }}",
      "{{ " + std::string(100'000, '[') + " }}",
      chain + " }}",
      nested,
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{{ range(10 ** 9) }}",
      "{{ 'x' * 10 ** 12 }}",
      "{{ [1] * 10 ** 12 }}",
      "{{ 'x' | center(10 ** 12) }}{{ 'x'.ljust(10 ** 12) }}",
      "{{ '%1000000000d' % 1 }}{{ '%*d' % (10 ** 9, 1) * 10 ** 6 }}",
      "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = ns.x * 2 %}{% endfor %}",
      "{% set ns = namespace(x='ab') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x | replace('', ns.x) %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall %}{% endmacro %}{{ "
      "n() }}",
      "{% for i in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
      pairs + "{{ x }}",
      pairs + "{{ x | tojson }}",
      pairs + "{{ x == [x, 1] }}",
      "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}",
      "{{ (range(99999) | list | string) * 1000 }}",
      "{% set a = 'a' * 10 ** 6 %}{{ (a + 'b') in (a * 50) }}{{ (a * 50).count('a' * 500000 + 'b') }}"
      "{% for i in range(99999) %}{{ a | length == 1 }}{{ a.find('b') }}{% endfor %}",
  };
  for (const std::string& text : templates) {
    const auto result = rendered(text, ordered_json::parse(R"([{"role": "user", "content": "x"}])"), true);
    EXPECT_TRUE(!result || result->size() < 1'000'000) << text.substr(0, 100);
  }
  EXPECT_FALSE(rendered(templates[5], ordered_json::parse(R"([{"role": "user", "content": "x"}])"), true));
}

TEST(Chat, Tools) {
  const json both = {{{"name", "default"}, {"template", "plain {{ tools }}"}},
                     {{"name", "tool_use"}, {"template", "tools {{ tools | tojson }}"}}};
  const auto tokenizer = tokenizer_with(both);
  EXPECT_EQ(render_chat(*tokenizer, R"([{"role": "user", "content": "x"}])", "f", {}), "plain None");
  EXPECT_EQ(render_chat(*tokenizer, R"({"messages": [{}], "tools": [{"b": 1, "a": 2}]})", "f", {}),
            R"(tools [{"b": 1, "a": 2}])");
}

TEST(Chat, Errors) {
  const std::vector<ChatMessage> one = {{"user", "x"}};
  const auto message = [](const std::string& text, const std::string& conversation, ErrorKind kind) -> std::string {
    try {
      render_chat(*tokenizer_with(text), conversation, "f.json", {});
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    return "no error";
  };
  using ::testing::HasSubstr;
  const std::string chat = R"([{"role": "user", "content": "x"}])";
  EXPECT_THROW(render_chat(*tokenizer_with(""), one, {}), Error);
  EXPECT_THAT(message("\n{{ 1 + }}", chat, ErrorKind::kInput), HasSubstr("line 2: expected an expression"));
  EXPECT_THAT(message("\n\n{{ messages[5].role.x }}", chat, ErrorKind::kInput),
              HasSubstr("line 3: 'list object' has no element 5"));
  EXPECT_THAT(message("{{ raise_exception('only\nusers') }}", chat, ErrorKind::kUsage),
              HasSubstr("f.json: the model's chat template refuses it: only?users"));
  EXPECT_THAT(message("x", "{}", ErrorKind::kInput), HasSubstr("expected a list of messages"));
  EXPECT_THAT(message("x", "[]", ErrorKind::kInput), HasSubstr("at least one"));
  EXPECT_THAT(message("x", "[1]", ErrorKind::kInput), HasSubstr("objects"));
  EXPECT_THAT(message("x", R"({"messages": [{}], "tools": 1})", ErrorKind::kInput), HasSubstr("tools"));
  const std::vector<ChatMessage> broken = {{"user", " x\xE2\x82"}};
  EXPECT_EQ(render_chat(*tokenizer_with("{{ messages[0].content }}"), broken, {}), " x\uFFFD");
}

}  // namespace
}  // namespace occ
