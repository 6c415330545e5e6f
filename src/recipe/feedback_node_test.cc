// Compares the blocked feedback with its definition in double, and checks the errors that it reports and where recipes
// place it.
#include "recipe/feedback_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/parallel.h"
#include "occ/error.h"
#include "quantization/feedback_for_test.h"

namespace occ {
namespace {

// Makes a quantizer alone a bound recipe.
class Leaf final : public BoundRecipe {
 public:
  Leaf(const Quantizer& quantizer, Shape shape, Granule granule) : q_(quantizer), shape_(shape), granule_(granule) {
    for (const SymbolPlane& plane : q_.planes()) symbols_.emplace_back(plane.rows, plane.cols);
  }
  Shape shape() const override { return shape_; }
  Granule granule() const override { return granule_; }
  size_t tile_rows() const override { return 1; }
  void quantize(const Rect& at, MatrixView<float> values) override {
    std::vector<MatrixView<Symbol>> views;
    for (size_t i = 0; i < symbols_.size(); ++i) views.push_back(symbols_[i].view().sub(q_.plane_rect(i, at)));
    q_.quantize(at, values, views);
  }
  void code(const FitContext&, const std::string&, std::vector<CodedPlane>*) override {}
  void dequantize(const Rect&, MatrixView<float>) const override {}

 private:
  const Quantizer& q_;
  Shape shape_;
  Granule granule_;
  std::vector<Matrix<Symbol>> symbols_;
};

FitContext with(const Square& h, double damping, std::vector<std::string>* fallbacks = nullptr) {
  FitContext ctx;
  ctx.hessian = h.view();
  ctx.damping = damping;
  ctx.fallbacks = fallbacks;
  return ctx;
}

Square damped(const Square& h, double damping) {
  Square out = h.clone();
  double trace = 0;
  for (size_t i = 0; i < h.rows(); ++i) trace += h(i, i);
  for (size_t i = 0; i < h.rows(); ++i) out(i, i) += damping * trace / double(h.rows());
  return out;
}

// Because of rounding, single values may get another level, and the rest of their row with them. All other rows must be
// equal in every bit.
void expect_as_defined(const Quantizer& quantizer, const Matrix<float>& w, size_t granule_rows) {
  const Square h = random_hessian(w.cols(), 5);
  const Coded expected = code_with_feedback(quantizer, w, damped(h, 0.02));
  auto leaf = std::make_unique<Leaf>(quantizer, w.shape(), Granule{granule_rows, quantizer.granule().cols});
  FeedbackNode node(std::move(leaf), *factor_for_feedback(with(h, 0.02)));
  EXPECT_EQ(node.granule().rows, granule_rows);
  EXPECT_EQ(node.granule().cols, 0u);
  Matrix<float> values = w.clone();
  node.quantize({0, 0, w.rows(), w.cols()}, values.view());
  size_t different = 0;
  for (size_t r = 0; r < w.rows(); ++r) {
    different += !same_floats(values.view().row_range(r, 1), expected.values.view().row_range(r, 1));
  }
  EXPECT_LE(different, w.rows() / 100);
  std::vector<double> errors(w.rows());
  ASSERT_TRUE(node.weighted_errors(errors));
  for (size_t r = 0; r < w.rows(); ++r) {
    Matrix<float> x(1, w.cols()), y(1, w.cols());
    std::copy_n(w.row(r), w.cols(), x.data());
    std::copy_n(values.row(r), w.cols(), y.data());
    const double direct = weighted_error(x, y, h);
    EXPECT_NEAR(errors[r], direct, 1e-4 * direct) << r;
  }
}

TEST(FeedbackNode, CodesColumnsOneByOneAsDefined) {
  for (const Shape shape : {Shape{1, 1}, Shape{3, 16}, Shape{7, 17}, Shape{64, 75}, Shape{1100, 33}, Shape{40, 331}}) {
    SCOPED_TRACE(testing::PrintToString(shape.rows) + " x " + testing::PrintToString(shape.cols));
    const Matrix<float> w = normal_matrix(shape.rows, shape.cols, shape.cols);
    const auto q = QuantizerCase{"uniform", {{"bits", "3"}}}.fit(w.view());
    expect_as_defined(*q, w, 1);
    expect_as_defined(*q, w, 4);
    expect_as_defined(*q, w, 0);
  }
}

TEST(FeedbackNode, CodesBlocksOfEightColumnsAsDefined) {
  for (const Shape shape : {Shape{2, 8}, Shape{5, 3}, Shape{64, 75}, Shape{600, 40}, Shape{20, 163}}) {
    SCOPED_TRACE(testing::PrintToString(shape.rows) + " x " + testing::PrintToString(shape.cols));
    const Matrix<float> w = normal_matrix(shape.rows, shape.cols, shape.cols);
    expect_as_defined(BlockFloat(shape), w, 1);
  }
}

TEST(FeedbackNode, RowsDoNotDependOnPanelsOrThreads) {
  const Matrix<float> w = normal_matrix(1200, 48, 2);
  const Square h = random_hessian(48, 3);
  const auto node = fit_recipe(Recipe::parse("uniform(bits=2) > bitpack"), MatrixSource(w.view()), with(h, 0.01));
  Matrix<float> once = w.clone(), again = w.clone(), single = w.clone();
  node->quantize({0, 0, 1200, 48}, once.view());
  for (const size_t row : {size_t{700}, size_t{0}}) {
    const size_t rows = row == 0 ? 700 : 500;
    node->quantize({row, 0, rows, 48}, again.view().row_range(row, rows));
  }
  const ThreadLimit one(1);
  node->quantize({0, 0, 1200, 48}, single.view());
  EXPECT_TRUE(same_floats(once.view(), single.view()));
  size_t different = 0;  // products of other sizes may be rounded differently
  for (size_t r = 0; r < w.rows(); ++r) {
    different += !same_floats(once.view().row_range(r, 1), again.view().row_range(r, 1));
  }
  EXPECT_LE(different, 6u);
}

TEST(FeedbackNode, IdentityChangesNothing) {
  const Matrix<float> w = normal_matrix(70, 131, 4);
  Square h(131, 131);
  for (size_t i = 0; i < 131; ++i) h(i, i) = 1;
  for (const char* text :
       {"uniform(bits=2) > bitpack", "uniform(group=32) > bitpack", "signs(seed=3) > lloyd > rans"}) {
    Matrix<float> plain = w.clone(), feedback = w.clone();
    fit_recipe(Recipe::parse(text), MatrixSource(w.view()), {})->quantize({0, 0, 70, 131}, plain.view());
    fit_recipe(Recipe::parse(text), MatrixSource(w.view()), with(h, 0.01))->quantize({0, 0, 70, 131}, feedback.view());
    EXPECT_TRUE(same_floats(plain.view(), feedback.view())) << text;
  }
}

struct Case {
  const char* recipe;
  double at_most;     // bound of the weighted error relative to that without feedback
  bool knows = true;  // whether the recipe reports its weighted error
};

class FeedbackInRecipes : public testing::TestWithParam<Case> {};

TEST_P(FeedbackInRecipes, LowersTheWeightedErrorAndTellsIt) {
  const Shape shape{600, 72};
  Matrix<float> w = normal_matrix(shape.rows, shape.cols, 7);
  for (size_t r = 0; r < shape.rows; ++r) {
    for (size_t c = 0; c < shape.cols; ++c) w(r, c) *= 0.5f + static_cast<float>(r % 5);
  }
  const Square h = random_hessian(shape.cols, 6);
  const Recipe recipe = Recipe::parse(GetParam().recipe);
  std::vector<std::string> fallbacks;
  const FitContext ctx = with(h, 0.01, &fallbacks);
  const Rect all{0, 0, shape.rows, shape.cols};
  const auto node = fit_recipe(recipe, MatrixSource(w.view()), ctx);
  Matrix<float> coded = w.clone();
  node->quantize(all, coded.view());
  EXPECT_THAT(fallbacks, testing::IsEmpty());

  // pca(of=hessian) is fitted to the Hessian with and without feedback.
  FitContext plain_ctx = ctx;
  plain_ctx.feedback = false;
  Matrix<float> plain = w.clone();
  fit_recipe(recipe, MatrixSource(w.view()), plain_ctx)->quantize(all, plain.view());
  const double error = weighted_error(w, coded, h);
  const double ratio = error / weighted_error(w, plain, h);
  EXPECT_LT(ratio, GetParam().at_most);
  EXPECT_GT(ratio, GetParam().at_most / 3);

  std::vector<double> rows(shape.rows);
  ASSERT_EQ(node->weighted_errors(rows), GetParam().knows);
  if (GetParam().knows) {
    double told = 0;
    for (const double r : rows) told += r;
    EXPECT_NEAR(told, error, 1e-3 * error);
  }

  std::vector<CodedPlane> planes;
  node->code(ctx, "", &planes);
  std::vector<ByteSpan> spans;
  const std::vector<std::string> names = plane_names(recipe);
  ASSERT_EQ(planes.size(), names.size());
  for (size_t i = 0; i < planes.size(); ++i) {
    EXPECT_EQ(planes[i].name, names[i]);
    spans.emplace_back(planes[i].bytes);
  }
  PlaneReader reader(spans, "test");
  Matrix<float> decoded(shape.rows, shape.cols);
  load_recipe(recipe, shape, reader)->dequantize(all, decoded.view());
  EXPECT_TRUE(same_floats(decoded.view(), coded.view()));
}

// Each bound is one to three times the measured ratio.
INSTANTIATE_TEST_SUITE_P(
    Recipes, FeedbackInRecipes,
    testing::Values(Case{"uniform(bits=3) > bitpack", 0.4},
                    Case{"signs(seed=7) > hadamard > uniform(bits=3) > rans", 0.6},
                    Case{"dct > lloyd(bits=3) > rans", 0.9}, Case{"pca > uniform(bits=3) > rans", 0.4},
                    Case{"pca(of=hessian, block=24) > uniform(bits=3) > rans", 1.0},
                    Case{"rowscale > hadamard(block=8) > uniform(bits=3, per=tensor) > bitpack", 0.6},
                    Case{"hadamard(axis=out) > uniform(bits=3) > bitpack", 0.6, false},
                    Case{"hadamard(axis=out) > dct > uniform(bits=3) > bitpack", 0.9, false},
                    Case{"uniform(bits=2) > bitpack + dct > uniform(bits=2) > rans", 0.9},
                    Case{"split(rows=250) > { head: uniform(bits=3) > bitpack ; tail: dct > uniform(bits=3) > rans }",
                         0.6}));

TEST(FeedbackFactor, RaisesTheDampingAndSaysSo) {
  Square h(3, 3);
  h(0, 0) = h(1, 1) = h(2, 2) = 1;
  h(0, 1) = h(1, 0) = 1.3;  // makes an eigenvalue of -0.3
  std::vector<std::string> fallbacks;
  const auto factor = factor_for_feedback(with(h, 0.02, &fallbacks));
  ASSERT_TRUE(factor);
  EXPECT_DOUBLE_EQ(factor->added, 0.32);
  EXPECT_THAT(fallbacks, testing::ElementsAre(testing::HasSubstr("from 0.02 to 0.32")));
  EXPECT_NEAR(factor->scales[0], std::sqrt(1.32), 1e-12);
  fallbacks.clear();
  h(0, 1) = h(1, 0) = 0;
  ASSERT_TRUE(factor_for_feedback(with(h, 0, &fallbacks)));
  EXPECT_THAT(fallbacks, testing::IsEmpty());
}

TEST(FeedbackFactor, RankDeficientInputsNeedDampingOnly) {
  Square h(40, 40);
  for (size_t i = 0; i < 40; ++i) {
    for (size_t j = 0; j < 40; ++j) h(i, j) = i == 7 || j == 7 ? 0 : double(i + 1) * double(j + 1);
  }
  std::vector<std::string> fallbacks;
  ASSERT_TRUE(factor_for_feedback(with(h, 1e-6, &fallbacks)));
  EXPECT_THAT(fallbacks, testing::IsEmpty());
  ASSERT_TRUE(factor_for_feedback(with(h, 0, &fallbacks)));
  EXPECT_THAT(fallbacks, testing::Not(testing::IsEmpty()));
}

TEST(FeedbackFactor, UnusableMomentsAreReportedOrRefused) {
  const Matrix<float> w = normal_matrix(20, 5, 1);
  const Recipe recipe = Recipe::parse("uniform > bitpack");
  std::vector<std::string> fallbacks;
  Square h(5, 5);
  Matrix<float> plain = w.clone(), coded = w.clone();
  fit_recipe(recipe, MatrixSource(w.view()), {})->quantize({0, 0, 20, 5}, plain.view());
  fit_recipe(recipe, MatrixSource(w.view()), with(h, 0.01, &fallbacks))->quantize({0, 0, 20, 5}, coded.view());
  EXPECT_TRUE(same_floats(plain.view(), coded.view()));
  EXPECT_THAT(fallbacks, testing::ElementsAre(testing::HasSubstr("without error feedback")));
  fallbacks.clear();
  h(0, 0) = 1, h(1, 2) = h(2, 1) = 50;
  EXPECT_FALSE(factor_for_feedback(with(h, 0.01, &fallbacks)));
  EXPECT_THAT(fallbacks.back(), testing::HasSubstr("not positive"));
  h(3, 1) = std::nan("");
  try {
    factor_for_feedback(with(h, 0.01));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("row 3, column 1"));
  }
}

TEST(FeedbackNode, CodesThatNeedAllColumnsGoWithout) {
  const Matrix<float> w = normal_matrix(8, 16, 1);
  const Square h = random_hessian(16, 1);
  const BlockFloat quantizer(w.shape());
  std::vector<std::string> fallbacks;
  const auto node = fit_with_feedback(w.shape(), with(h, 0.01, &fallbacks), [&](const FitContext& ctx) {
    EXPECT_EQ(ctx.feedback_scales.size(), 16u);
    return std::make_unique<Leaf>(quantizer, w.shape(), Granule{1, 0});
  });
  EXPECT_THAT(fallbacks, testing::ElementsAre(testing::HasSubstr("all columns")));
  std::vector<double> rows(8);
  EXPECT_FALSE(node->weighted_errors(rows));
}

}  // namespace
}  // namespace occ
