#include "base/params.h"

#include <gtest/gtest.h>

#include <array>

#include "occ/error.h"

namespace occ {
namespace {

constexpr std::array kTable = {
    int_param("bits", "4", 1, 16, ""),
    real_param("step", "0.5", 0, 10, ""),
    choice_param("clip", "mse", "mse|absmax", ""),
};

TEST(Params, DefaultsAndCanonicalPrinting) {
  const Params p(kTable);
  EXPECT_EQ(p.integer("bits"), 4);
  EXPECT_EQ(p.real("step"), 0.5);
  EXPECT_EQ(p.choice("clip"), "mse");
  EXPECT_EQ(p.print(), "");
  const Params q(kTable, {{"clip", "absmax"}, {"step", "0.50"}, {"bits", "04"}}, "stage");
  EXPECT_EQ(q.print(), "(clip=absmax)");  // 0.50 and 04 are the defaults in other spellings
  const Params r(kTable, {{"step", "1e0"}, {"bits", "8"}}, "stage");
  EXPECT_EQ(r.print(), "(bits=8, step=1)");
}

TEST(Params, RefusesWhatTheTableDoesNotAllow) {
  const std::vector<Params::Given> bad = {{{"bit", "4"}},
                                          {{"bits", "0"}},
                                          {{"bits", "17"}},
                                          {{"bits", "4.5"}},
                                          {{"bits", ""}},
                                          {{"bits", "4x"}},
                                          {{"step", "nan"}},
                                          {{"step", "-1"}},
                                          {{"clip", "m"}},
                                          {{"clip", "mse|"}},
                                          {{"clip", ""}},
                                          {{"bits", "4"}, {"bits", "4"}},
                                          {{"bits", "99999999999999999999"}}};
  for (const auto& given : bad)
    EXPECT_THROW(Params(kTable, given, "stage"), Error) << given[0].first << given[0].second;
}

}  // namespace
}  // namespace occ
