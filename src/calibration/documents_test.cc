#include "calibration/documents.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/rng.h"
#include "test_data.h"

namespace occ {
namespace {

Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

std::string error_of(const Bytes& bytes) {
  try {
    decode_text(bytes, "some.txt");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    return e.what();
  }
  return "";
}

TEST(DecodeText, ReadsUtf16ByItsMark) {
  const std::string text = "a\u00e9\u4e2d\U0001F600\n";
  const std::vector<uint16_t> units = {0xFEFF, 'a', 0xE9, 0x4E2D, 0xD83D, 0xDE00, '\n'};
  Bytes little, big;
  for (const uint16_t u : units) {
    little.insert(little.end(), {static_cast<uint8_t>(u & 255), static_cast<uint8_t>(u >> 8)});
    big.insert(big.end(), {static_cast<uint8_t>(u >> 8), static_cast<uint8_t>(u & 255)});
  }
  EXPECT_EQ(decode_text(little, "x"), text);
  EXPECT_EQ(decode_text(big, "x"), text);
  EXPECT_EQ(decode_text(bytes_of("\xEF\xBB\xBF" + text), "x"), text);
  EXPECT_EQ(decode_text(bytes_of(text), "x"), text);
}

// Single halves of surrogate pairs, and an odd byte at the end.
TEST(DecodeText, ReplacesWhatIsBrokenInUtf16) {
  Bytes bytes = {0xFF, 0xFE};
  std::string expected;
  for (int i = 0; i < 40; ++i) {
    bytes.insert(bytes.end(), {'x', 0});
    expected += 'x';
  }
  for (const uint8_t half : {0xD8, 0xDC}) {
    bytes.insert(bytes.end(), {0, half, 'y', 0});
    expected += "\uFFFDy";
  }
  bytes.push_back(7);
  EXPECT_EQ(decode_text(bytes, "x"), expected);
}

TEST(DecodeText, RefusesWhatIsNoText) {
  Rng rng(1);
  Bytes noise;
  for (int i = 0; i < 4000; ++i) noise.push_back(static_cast<uint8_t>(rng.below(256)));
  EXPECT_NE(error_of(noise).find("some.txt: expected text in UTF-8"), std::string::npos) << error_of(noise);
  Bytes unmarked;  // UTF-16 without a byte order mark: every other byte is 0
  for (const char c : std::string("plain English words")) {
    unmarked.insert(unmarked.end(), {static_cast<uint8_t>(c), 0});
  }
  EXPECT_NE(error_of(unmarked), "");
  EXPECT_NE(error_of(Bytes(100, 0xE4)), "");
  EXPECT_EQ(error_of(bytes_of("mostly good text with one \xE4 letter of Latin-1")), "");
}

std::string error_of(const std::vector<std::filesystem::path>& paths) {
  try {
    read_documents(paths);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    return e.what();
  }
  return "";
}

void put(const std::filesystem::path& path, std::string_view text) { std::ofstream(path) << text; }

TEST(Documents, OfJsonLinesAreTextsAndConversations) {
  const TempFolder folder;
  const auto path = folder.path() / "chat.jsonl";
  put(path, "{\"text\": \"a\\nb\", \"id\": 1}\r\n\n{\"messages\": [{\"role\": \"user\", \"content\": \"\\u00e9\"}]}");
  const auto documents = read_documents({path});
  ASSERT_EQ(documents.size(), 2);
  EXPECT_EQ(documents[0].text, "a\nb");
  EXPECT_TRUE(documents[0].messages.empty());
  ASSERT_EQ(documents[1].messages.size(), 1);
  EXPECT_EQ(documents[1].messages[0].role, "user");
  EXPECT_EQ(documents[1].messages[0].content, "\u00e9");
  EXPECT_FALSE(documents[1].lines);
}

TEST(Documents, OfJsonLinesMustBeWhatTheyAreSaidToBe) {
  const TempFolder folder;
  const auto path = folder.path() / "bad.jsonl";
  for (const char* line : {"{", "[]", "\"text\"", "{\"txt\": \"a\"}", "{\"text\": 1}", "{\"messages\": []}",
                           "{\"messages\": {}}", "{\"messages\": [1]}", "{\"messages\": [{\"role\": \"user\"}]}",
                           "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}"}) {
    put(path, std::string("{\"text\": \"good\"}\n") + line + "\n");
    EXPECT_NE(error_of({path}).find("bad.jsonl: line 2"), std::string::npos) << line << ": " << error_of({path});
  }
}

TEST(Documents, OfAFolderComeByName) {
  const TempFolder folder;
  std::filesystem::create_directories(folder.path() / "b");
  put(folder.path() / "b/x.txt", "second");
  put(folder.path() / "a.txt", "first");
  put(folder.path() / "c.jsonl", "{\"text\": \"third\"}");
  put(folder.path() / "d.md", "none");
  const auto documents = read_documents({folder.path(), folder.path() / "d.md"});
  ASSERT_EQ(documents.size(), 4);
  EXPECT_EQ(documents[0].text, "first");
  EXPECT_EQ(documents[1].text, "second");
  EXPECT_EQ(documents[2].text, "third");
  EXPECT_EQ(documents[3].text, "none");  // read although it has another suffix, because the file itself was named
  std::filesystem::create_directory(folder.path() / "empty");
  EXPECT_NE(error_of({folder.path() / "empty"}).find("expected files"), std::string::npos);
}

// The mixed text contains every kind of text that the documentation promises.
TEST(MixedText, HasConversationsCodeAndManyLanguages) {
  const auto documents = mixed_documents();
  size_t bytes = 0, conversations = 0;
  std::string all;
  for (const Document& d : documents) {
    conversations += !d.messages.empty();
    for (const ChatMessage& m : d.messages) {
      EXPECT_FALSE(m.content.empty());
      bytes += m.content.size();
    }
    EXPECT_TRUE(d.messages.empty() || d.text.empty());
    EXPECT_EQ(d.text.find("\n%%"), std::string::npos);
    all += d.text;
  }
  bytes += all.size();
  EXPECT_GT(bytes, 50000);
  EXPECT_LT(bytes, 100000);
  EXPECT_GE(conversations, 7);
  EXPECT_EQ(decode_text({reinterpret_cast<const uint8_t*>(all.data()), all.size()}, "mixed"), all);
  for (const char* part : {"def ", "#include", "SELECT ", "<html", "\"type\": ", "\u00fc", "\u0430", "\u4e00", "\u0627",
                           "\u3067", "\uac00", "\\begin{equation}", "1024"}) {
    EXPECT_NE(all.find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace occ
