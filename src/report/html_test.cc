#include "report/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace occ {
namespace {

TEST(HtmlEscaped, TakesAnyBytes) {
  EXPECT_EQ(html_escaped("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
  EXPECT_EQ(html_escaped(std::string("x\ny\xff\0z", 6)), "x?y??z") << "XML has no control characters";
}

TEST(ShellQuoted, IsOneWordOfAShell) {
  EXPECT_EQ(shell_quoted("--bits"), "--bits");
  EXPECT_EQ(shell_quoted("a b"), "'a b'");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quoted(""), "''");
}

TEST(Figure, HasItsCaptionAndItsCommand) {
  EXPECT_THAT(figure("t<", "<svg/>", "what & how", "occ x"),
              testing::HasSubstr("<svg/><figcaption>what &amp; how To repeat it: <code>occ x</code></figcaption>"));
}

}  // namespace
}  // namespace occ
