#include "recipe/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "occ/error.h"
#include "recipe/bound.h"
#include "recipe/method.h"

namespace occ {
namespace {

using testing::HasSubstr;

std::string reprint(const std::string& text) { return Recipe::parse(text).print(); }

TEST(Recipe, PrintsCanonically) {
  EXPECT_EQ(reprint("uniform>bitpack"), "uniform > bitpack");
  EXPECT_EQ(reprint("  uniform ( bits = 04 , group=64 )\t> bitpack "), "uniform(group=64) > bitpack");
  EXPECT_EQ(reprint("signs(seed=7)>hadamard(block=128)>uniform(bits=3)>rans"),
            "signs(seed=7) > hadamard(block=128) > uniform(bits=3) > rans");
  EXPECT_EQ(reprint("uniform(bits=2)>bitpack+lloyd(bits=3)>rans"), "uniform(bits=2) > bitpack + lloyd(bits=3) > rans");
  EXPECT_EQ(reprint("split(rows=3)>{head:uniform(bits=3)>bitpack+lloyd>rans;tail:uniform>bitpack}"),
            "split(rows=3) > { head: uniform(bits=3) > bitpack + lloyd > rans ; tail: uniform > bitpack }");
  EXPECT_EQ(reprint("uniform > { codes: rans }"), "uniform > { codes: rans }");
  const std::string nested =
      "dct > split(rows=3) > { head: split(rows=1) > { head: uniform > bitpack ; tail: uniform > rans } ; tail: lloyd "
      "> bitpack }";
  EXPECT_EQ(reprint(reprint(nested)), nested);
}

TEST(Recipe, ErrorsSayWhatAndWhere) {
  const std::pair<const char*, const char*> bad[] = {
      {"", "expected a name"},
      {"uniform", "after the quantizer 'uniform'"},
      {"bitpack", "must follow a quantizer"},
      {"hadamard", "expected a quantizer after it"},
      {"hadamard > bitpack", "must follow a quantizer"},
      {"uniform > hadamard", "after the quantizer"},
      {"uniform > bitpack > rans", "after the quantizer"},
      {"uniform > nosuch", "no stage 'nosuch'"},
      {"uniform(bits=99) > bitpack", "bits expects an integer from 1 to 16"},
      {"uniform(bits=4, bits=4) > bitpack", "given twice"},
      {"uniform(bits 4) > bitpack", "'='"},
      {"uniform(bits=4 > bitpack", "')' or ','"},
      {"uniform > bitpack +", "expected a name"},
      {"uniform > bitpack x", "expected the end"},
      {"split(rows=1) > uniform > bitpack", "splits"},
      {"split(rows=1)", "one branch for each of: head, tail"},
      {"split(rows=1) > { head: uniform > bitpack }", "one branch for each of"},
      {"split(rows=1) > { tail: uniform > bitpack ; head: uniform > bitpack }", "in this order"},
      {"split(rows=1) > { head: uniform > bitpack ; tail: uniform > bitpack } > rans", "the end"},
      {"uniform > { codes: uniform > rans }", "expects one coder"},
      {"uniform > { code: rans }", "one branch for each of: codes"},
      {"{ head: uniform > bitpack }", "needs a quantizer"},
  };
  for (const auto& [text, expected] : bad) {
    try {
      Recipe::parse(text);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage) << text;
      EXPECT_THAT(e.what(), HasSubstr(expected)) << text;
    }
  }
}

TEST(Recipe, DeepNestingIsRefused) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "split(rows=1) > { head: ";
  EXPECT_THROW(Recipe::parse(text), Error);
}

TEST(Recipe, MoreThan256StagesAreRefused) {
  std::string text = "uniform > bitpack";
  for (int i = 0; i < 254; ++i) text.insert(0, "signs > ");
  EXPECT_NO_THROW(Recipe::parse(text));
  EXPECT_THROW(Recipe::parse("signs > " + text), Error);
  EXPECT_THROW(Recipe::parse(text + " + uniform > bitpack"), Error);  // the limit counts the stages of all terms
}

TEST(Recipe, SeedGoesToStagesThatWereNotGivenOne) {
  Recipe r = Recipe::parse("signs > signs(seed=7) > signs(seed=0) > uniform > bitpack");
  r.set_seed(3);
  EXPECT_EQ(r.print(), "signs(seed=3) > signs(seed=7) > signs > uniform > bitpack");
}

TEST(Recipe, PlaneNamesAreInStoredOrder) {
  EXPECT_EQ(plane_names(Recipe::parse("dct > split(rows=1) > { head: uniform > rans ; tail: lloyd > bitpack }")),
            (std::vector<std::string>{"dct", "split", "head/uniform", "head/codes.rans", "head/codes", "tail/lloyd",
                                      "tail/codes.bitpack", "tail/codes"}));
  EXPECT_EQ(plane_names(Recipe::parse("uniform > bitpack + uniform > rans")),
            (std::vector<std::string>{"term0/uniform", "term0/codes.bitpack", "term0/codes", "term1/uniform",
                                      "term1/codes.rans", "term1/codes"}));
}

TEST(Method, ParsesAndMakesRecipes) {
  EXPECT_EQ(Method::parse("rtn").recipe(4).print(), "uniform > bitpack");
  EXPECT_EQ(Method::parse("rtn(group=64, zero=asymmetric)").print(), "rtn(group=64, zero=asymmetric)");
  EXPECT_EQ(Method::parse("lloyd").recipe(2).print(), Recipe::parse("lloyd(bits=2) > bitpack").print());
  EXPECT_EQ(Method::parse("rtn").split_recipe(2, 5, 10).print(),
            "split(rows=5) > { head: uniform(bits=3) > bitpack ; tail: uniform(bits=2) > bitpack }");
  EXPECT_EQ(Method::parse("rtn").split_recipe(2, 0, 10).print(), "uniform(bits=2) > bitpack");
  EXPECT_EQ(Method::parse("rtn").split_recipe(2, 10, 10).print(), "uniform(bits=3) > bitpack");
  // For a method with a budget, one more bit in half of the rows is half a bit more in the budget.
  EXPECT_EQ(Method::parse("pq(m=8)").split_recipe(2, 5, 10).print(), "pq(bits=2.5, m=8) > bitpack");
  EXPECT_EQ(Method::parse("lopq").recipe(4).print(), "opq(clusters=4) > bitpack");
  EXPECT_EQ(Method::parse("qet(levels=1, order=rans, residual=rtn, rounds=2, outliers=0.001)").recipe(8).print(),
            "outliers(fraction=0.001) > qet(bits=1.936, levels=1) > { codes: bitpack ; order: rans(tables=64) } + "
            "uniform(bits=3) > bitpack + uniform(bits=3) > bitpack");
  EXPECT_THROW(Method::parse("nosuch"), Error);
  EXPECT_THROW(Method::parse("rtn(bits=4)"), Error);
  EXPECT_THROW(Method::parse("rtn > bitpack"), Error);
}

}  // namespace
}  // namespace occ
