#include "report/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>

namespace occ {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(AxisTicks, AreRoundAndInside) {
  EXPECT_THAT(axis_ticks(0, 5, false, 5), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(axis_ticks(0.9, 3.4, false, 5), ElementsAre(1, 1.5, 2, 2.5, 3));
  EXPECT_THAT(axis_ticks(0.5, 30, true, 6), ElementsAre(0.5, 1, 2, 5, 10, 20));
  EXPECT_THAT(axis_ticks(1e-6, 1, true, 4).size(), testing::Le(5u));
  EXPECT_TRUE(axis_ticks(1, 1, false, 5).empty());
}

std::vector<std::pair<double, double>> circles(const std::string& svg) {
  std::vector<std::pair<double, double>> out;
  const std::regex circle("cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  for (std::sregex_iterator it(svg.begin(), svg.end(), circle), end; it != end; ++it) {
    out.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  }
  return out;
}

// On a logarithmic axis equal ratios are equal distances; y rises to the top.
TEST(Plot, PlacesPointsByTheirScale) {
  const Series s{"a", {{1, 1, ""}, {2, 0.1, ""}, {3, 0.01, ""}, {4, NAN, ""}, {5, 0, ""}}, Series::Style::kMarked};
  const auto at = circles(plot({.label = "x"}, {.label = "y", .log = true}, std::vector{s}));
  ASSERT_EQ(at.size(), 3u) << "NaN, and 0 on a logarithmic axis, are left out";
  EXPECT_NEAR(at[1].first - at[0].first, at[2].first - at[1].first, 0.2);
  EXPECT_NEAR(at[1].second - at[0].second, at[2].second - at[1].second, 0.2);
  EXPECT_LT(at[0].second, at[2].second);
}

TEST(Plot, EscapesNamesAndTellsValues) {
  const Series s{"a<b", {{1, 1, "1 & \"2\""}, {2, 2, "x\ny"}}, Series::Style::kPoints};
  const std::string svg = plot({.label = "<x>"}, {.label = "y"}, std::vector{s});
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_THAT(svg, HasSubstr("<title>1 &amp; &quot;2&quot;</title>"));
  EXPECT_THAT(svg, Not(HasSubstr("<x>")));
}

TEST(Plot, WithoutPointsIsASentence) {
  EXPECT_THAT(plot({}, {}, {}), HasSubstr("Nothing"));
  const Series s{"a", {{1, INFINITY, ""}}, Series::Style::kMarked};
  EXPECT_THAT(plot({}, {}, std::vector{s}), HasSubstr("Nothing"));
}

TEST(ShortNumber, HasThreeDigits) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.012345), "0.0123");
  EXPECT_EQ(short_number(123456), "123456");
  EXPECT_EQ(short_number(-2.5), "-2.5");
}

}  // namespace
}  // namespace occ
