#include "report/table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace occ {
namespace {

Table example() {
  Table table({{"tensor", ColumnKind::kText}, {"bytes"}, {"mae", ColumnKind::kDetail}, {"recipe", ColumnKind::kText}});
  table.add({"model.layers.10.self_attn.q_proj.weight", "1234", "0.25", "signs > hadamard(block=64) > rans"});
  table.add({"a\nb", "7", "1", "kept"});
  return table;
}

size_t widest_line(const std::string& text) {
  size_t widest = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) widest = std::max(widest, line.size());
  return widest;
}

TEST(Table, AlignsTextLeftAndNumbersRight) {
  EXPECT_EQ(example().text(0),
            "tensor                                   bytes   mae  recipe\n"
            "model.layers.10.self_attn.q_proj.weight   1234  0.25  signs > hadamard(block=64) > rans\n"
            "a?b                                          7     1  kept\n");
}

TEST(Table, FitsTheWidthAndLeavesNumbersWhole) {
  for (size_t width = 200; width >= 36; --width) {
    const std::string text = example().text(width);
    EXPECT_LE(widest_line(text.substr(0, text.find("(left out"))), width);
    EXPECT_NE(text.find("1234"), std::string::npos) << text;
    EXPECT_EQ(text.find("0.25") == std::string::npos, text.find("(left out of this width: mae;") != std::string::npos);
  }
  EXPECT_NE(example().text(75).find("model.layers"), std::string::npos) << example().text(75);
  EXPECT_NE(example().text(75).find("weight"), std::string::npos);
  EXPECT_EQ(widest_line(example().text(75)), 75u);
}

TEST(Table, AbbreviatesWholeCharacters) {
  EXPECT_EQ(abbreviated("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(abbreviated("abcdefghij", 9), "abc...hij");
  EXPECT_EQ(abbreviated("abcdefghij", 8), "abc...ij");
  EXPECT_EQ(abbreviated("\u00e4\u00f6\u00fc\u00e4\u00f6\u00fc", 5), "\u00e4...\u00fc");
}

}  // namespace
}  // namespace occ
