#include "calibration/calibration_text.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "model/tiny_models_for_test.h"

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

// Halves of surrogate pairs and an odd byte at the end.
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
  Bytes unmarked;  // UTF-16 without a mark: every other byte is 0
  for (const char c : std::string("plain English words")) {
    unmarked.insert(unmarked.end(), {static_cast<uint8_t>(c), 0});
  }
  EXPECT_NE(error_of(unmarked), "");
  EXPECT_NE(error_of(Bytes(100, 0xE4)), "");
  EXPECT_EQ(error_of(bytes_of("mostly good text with one \xE4 letter of Latin-1")), "");
}

}  // namespace
}  // namespace occ
