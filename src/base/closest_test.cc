#include "base/closest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace occ {
namespace {

// All words that one edit of `word` over the letters a, b gives.
std::set<std::string> neighbours(const std::string& word) {
  std::set<std::string> out;
  for (size_t i = 0; i <= word.size(); ++i) {
    for (const char c : {'a', 'b'}) {
      out.insert(word.substr(0, i) + c + word.substr(i));
      if (i < word.size()) out.insert(word.substr(0, i) + c + word.substr(i + 1));
    }
    if (i < word.size()) out.insert(word.substr(0, i) + word.substr(i + 1));
    if (i + 1 < word.size()) out.insert(word.substr(0, i) + word[i + 1] + word[i] + word.substr(i + 2));
  }
  out.erase(word);
  return out;
}

TEST(Closest, EditDistanceOneIsExactlyOneEdit) {
  std::vector<std::string> words = {""};
  for (size_t k = 0; k < words.size() && words[k].size() < 4; ++k) {
    words.push_back(words[k] + 'a');
    words.push_back(words[k] + 'b');
  }
  for (const std::string& x : words) {
    const std::set<std::string> near = neighbours(x);
    for (const std::string& y : words) EXPECT_EQ(edit_distance(x, y) == 1, near.contains(y)) << x << " " << y;
  }
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("ca", "abc"), 3u);  // nothing is inserted inside a swap
}

TEST(Closest, FindsWhatWasMeant) {
  const std::vector<std::string> names = {"bits", "ratio", "size", "tensor", "temperature", "tune-tokens"};
  EXPECT_EQ(closest("bitz", names), "bits");
  EXPECT_EQ(closest("btis", names), "bits");
  EXPECT_EQ(closest("temp", names), "temperature");
  EXPECT_EQ(closest("tune_tokens", names), "tune-tokens");
  EXPECT_EQ(closest("te", names), std::nullopt);
  EXPECT_EQ(closest("threads", names), std::nullopt);
  EXPECT_EQ(closest("", names), std::nullopt);
  EXPECT_EQ(closest("bits", {}), std::nullopt);
}

}  // namespace
}  // namespace occ
