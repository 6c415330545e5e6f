#include "report/charts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace occ {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Squarified, AreasAreInProportionAndFillTheFrameWithoutOverlap) {
  const std::vector<double> sizes = {60, 60, 40, 30, 20, 20, 10, 1, 1};
  const std::vector<Rectangle> r = squarified(sizes, 440, 300);
  ASSERT_EQ(r.size(), sizes.size());
  const double unit = 440.0 * 300 / std::accumulate(sizes.begin(), sizes.end(), 0.0);
  for (size_t i = 0; i < r.size(); ++i) {
    EXPECT_NEAR(r[i].width * r[i].height, sizes[i] * unit, 1e-6);
    EXPECT_GE(r[i].x, 0);
    EXPECT_LE(r[i].x + r[i].width, 440 + 1e-6);
    EXPECT_LE(r[i].y + r[i].height, 300 + 1e-6);
    EXPECT_LT(std::max(r[i].width / r[i].height, r[i].height / r[i].width), 5) << "about square";
    for (size_t k = 0; k < i; ++k) {
      const double w = std::min(r[i].x + r[i].width, r[k].x + r[k].width) - std::max(r[i].x, r[k].x);
      const double h = std::min(r[i].y + r[i].height, r[k].y + r[k].height) - std::max(r[i].y, r[k].y);
      EXPECT_FALSE(w > 1e-6 && h > 1e-6) << i << " and " << k;
    }
  }
}

TEST(Treemap, LeavesOutWhatHasNoSize) {
  const std::vector<TreemapItem> items = {{"a<b", 5, "5 bytes", 0}, {"none", 0, "", 1}, {"bad", NAN, "", 1}};
  const std::string svg = treemap(items);
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_THAT(svg, Not(HasSubstr("none")));
  EXPECT_THAT(treemap({}), HasSubstr("Nothing"));
}

TEST(HeatMap, IsDarkestWhereTheValueIsLargest) {
  const std::vector<std::string> rows = {"0", "1"}, columns = {"q", "k"};
  const std::vector<std::vector<HeatCell>> cells = {{{1.0, "one"}, {100.0, "hundred"}},
                                                    {{10.0, "ten"}, {std::nullopt}}};
  const std::string linear = heat_map(rows, columns, cells, false), log = heat_map(rows, columns, cells, true);
  EXPECT_THAT(linear, HasSubstr("<title>hundred</title><rect class=\"heat\" fill-opacity=\"0.70\""));
  EXPECT_THAT(linear, HasSubstr("<title>one</title><rect class=\"heat\" fill-opacity=\"0.06\""));
  EXPECT_THAT(log, HasSubstr("<title>ten</title><rect class=\"heat\" fill-opacity=\"0.38\"")) << "half way";
}

TEST(Bars, AreAsLongAsTheirValues) {
  const std::vector<Bar> list = {{"a", 2, "2"}, {"b", 4, "4"}, {"c", NAN, "-"}};
  const std::string svg = bars(list);
  double widths[2] = {};
  size_t at = 0;
  for (double& w : widths) {
    at = svg.find("width=\"", at + 1);
    w = std::stod(svg.substr(at + 7));
  }
  EXPECT_NEAR(widths[1], 2 * widths[0], 0.2);
  EXPECT_EQ(svg.find("width=\"", at + 1), std::string::npos) << "no bar for NaN";
}

}  // namespace
}  // namespace occ
