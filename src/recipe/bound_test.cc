// Runs whole recipes through fit, quantize, code, load and dequantize. The decoder must give what the encoder saw.
#include "recipe/bound.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "occ/error.h"

namespace occ {
namespace {

Matrix<float> gaussian(size_t rows, size_t cols, uint64_t seed) {
  Matrix<float> x(rows, cols);
  Rng rng(seed);
  for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.normal());
  return x;
}

double nmse(const Matrix<float>& x, const Matrix<float>& y) {
  double e = 0, s = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    e += (x.data()[i] - y.data()[i]) * (x.data()[i] - y.data()[i]);
    s += x.data()[i] * x.data()[i];
  }
  return s == 0 ? 0 : e / s;
}

struct CodedMatrix {
  Matrix<float> reconstruction;
  std::vector<CodedPlane> planes;
};

size_t bytes_of(const CodedMatrix& coded) {
  size_t bytes = 0;
  for (const CodedPlane& p : coded.planes) bytes += p.bytes.size();
  return bytes;
}

CodedMatrix encode(const Recipe& recipe, const Matrix<float>& x) {
  const auto bound = fit_recipe(recipe, MatrixSource(x.view()), {});
  CodedMatrix out{x.clone(), {}};
  bound->quantize({0, 0, x.rows(), x.cols()}, out.reconstruction.view());
  bound->code({}, "", &out.planes);
  return out;
}

std::unique_ptr<BoundRecipe> load(const Recipe& recipe, Shape shape, const CodedMatrix& coded) {
  std::vector<ByteSpan> spans;
  for (const CodedPlane& p : coded.planes) spans.emplace_back(p.bytes);
  PlaneReader reader(spans, "test");
  auto bound = load_recipe(recipe, shape, reader);
  reader.expect_done();
  return bound;
}

class BoundRecipeTest : public testing::TestWithParam<const char*> {};

TEST_P(BoundRecipeTest, DecodesToTheReconstructionBitForBit) {
  for (const Shape shape :
       {Shape{1, 1}, Shape{1, 700}, Shape{700, 1}, Shape{5, 331}, Shape{300, 576}, Shape{3000, 100}}) {
    const Matrix<float> x = gaussian(shape.rows, shape.cols, shape.rows);
    Recipe recipe = Recipe::parse(GetParam());
    const bool splits = recipe.terms[0].stages.back().name == "split";
    if (splits && shape.rows < 3) continue;
    const CodedMatrix coded = encode(recipe, x);
    const auto names = plane_names(recipe);
    ASSERT_EQ(coded.planes.size(), names.size());
    for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(coded.planes[i].name, names[i]);

    const auto bound = load(recipe, shape, coded);
    Matrix<float> whole(shape.rows, shape.cols);
    bound->dequantize({0, 0, shape.rows, shape.cols}, whole.view());
    ASSERT_TRUE(std::equal(whole.data(), whole.data() + whole.size(), coded.reconstruction.data()));
    EXPECT_LT(nmse(x, whole), 0.5);
    if (bound->granule().rows != 1) continue;
    for (const size_t row : {size_t{0}, shape.rows / 2, shape.rows - 1}) {  // single rows at any place can be decoded
      Matrix<float> one(1, shape.cols);
      bound->dequantize({row, 0, 1, shape.cols}, one.view());
      EXPECT_TRUE(std::equal(one.data(), one.data() + one.size(), whole.row(row))) << row;
    }
  }
}

TEST_P(BoundRecipeTest, TruncatedPlanesAreRefused) {
  const Matrix<float> x = gaussian(7, 40, 1);
  const Recipe recipe = Recipe::parse(GetParam());
  const CodedMatrix coded = encode(recipe, x);
  for (size_t p = 0; p < coded.planes.size(); ++p) {
    for (size_t cut = 0; cut < coded.planes[p].bytes.size(); ++cut) {
      CodedMatrix damaged;
      damaged.planes = coded.planes;
      damaged.planes[p].bytes.resize(cut);
      Matrix<float> y(7, 40);
      EXPECT_THROW(load(recipe, x.shape(), damaged)->dequantize({0, 0, 7, 40}, y.view()), Error)
          << coded.planes[p].name << " at " << cut;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Recipes, BoundRecipeTest,
    testing::Values(
        "uniform > bitpack", "uniform(bits=8, group=32, clip=absmax, zero=asymmetric) > rans", "lloyd(bits=3) > rans",
        "signs(seed=7) > hadamard > uniform(bits=3) > rans",
        "rowscale > dct(block=64) > lloyd(codebook=fitted) > bitpack", "rownorm(keep=product) > dst > lloyd > rans",
        "hadamard(axis=out) > uniform > bitpack", "pca(block=16) > uniform > rans",
        "uniform(bits=2) > bitpack + uniform(bits=2) > rans",
        "lowrank(rank=3) > { left: uniform(bits=8, per=column) > rans ; right: uniform(bits=8) > bitpack } + "
        "trellis > rans",
        "signs > lowrank(rank=2) > { left: trellis(step=0.1) > rans ; right: rowscale > lloyd > rans } + "
        "uniform(bits=3) > rans + lowrank(rank=1) > { left: uniform > rans ; right: uniform > rans }",
        "split(rows=3) > { head: uniform(bits=3) > bitpack ; tail: dst > uniform(bits=2) > rans }"));

TEST(BoundRecipe, ResidualTermsLowerTheError) {
  const Matrix<float> x = gaussian(64, 256, 3);
  const double one = nmse(x, encode(Recipe::parse("uniform(bits=2) > bitpack"), x).reconstruction);
  const double two =
      nmse(x, encode(Recipe::parse("uniform(bits=2) > bitpack + uniform(bits=2) > bitpack"), x).reconstruction);
  EXPECT_LT(two, one / 4);
}

// The second moments influence the fit of the low-rank term. The last term codes the residual with error feedback.
TEST(BoundRecipe, ALowRankTermBesideErrorFeedback) {
  Matrix<float> x = gaussian(600, 96, 5);
  const Matrix<float> a = gaussian(600, 3, 6), b = gaussian(3, 96, 7);
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      for (size_t k = 0; k < 3; ++k) x(r, c) += a(r, k) * b(k, c);
    }
  }
  Matrix<double> h(96, 96);
  for (size_t i = 0; i < 96; ++i) {
    for (size_t j = 0; j < 96; ++j) h(i, j) = std::pow(0.95, i > j ? double(i - j) : double(j - i));
  }
  const Recipe recipe = Recipe::parse(
      "lowrank(rank=3) > { left: trellis(step=0.1) > rans ; right: trellis(step=0.1) > rans } + trellis > rans");
  const auto code = [&](bool feedback, double* error) {
    std::vector<std::string> fallbacks;
    FitContext ctx;
    ctx.hessian = h.view();
    ctx.feedback = feedback;
    ctx.fallbacks = &fallbacks;
    const auto bound = fit_recipe(recipe, MatrixSource(x.view()), ctx);
    CodedMatrix out{x.clone(), {}};
    bound->quantize({0, 0, 600, 96}, out.reconstruction.view());
    *error = 0;
    for (size_t r = 0; r < 600; ++r) {
      for (size_t i = 0; i < 96; ++i) {
        for (size_t j = 0; j < 96; ++j) {
          *error += (x(r, i) - out.reconstruction(r, i)) * h(i, j) * (x(r, j) - out.reconstruction(r, j));
        }
      }
    }
    std::vector<double> rows(600);
    EXPECT_EQ(bound->weighted_errors(rows), feedback);
    if (feedback) {
      EXPECT_NEAR(std::accumulate(rows.begin(), rows.end(), 0.0), *error, 1e-3 * *error);
    }
    bound->code(ctx, "", &out.planes);
    EXPECT_TRUE(fallbacks.empty());
    return out;
  };
  double plain = 0, error = 0;
  const CodedMatrix without = code(false, &plain);
  const CodedMatrix coded = code(true, &error);
  // The step of the trellis fixes the weighted error, so what feedback gains is a smaller size.
  const double saved =
      8.0 / (600 * 96) * (static_cast<double>(bytes_of(without)) - static_cast<double>(bytes_of(coded)));
  EXPECT_GT(saved + 0.5 * std::log2(plain / error), 0.6);
  Matrix<float> decoded(600, 96);
  load(recipe, x.shape(), coded)->dequantize({0, 0, 600, 96}, decoded.view());
  EXPECT_TRUE(std::equal(decoded.data(), decoded.data() + decoded.size(), coded.reconstruction.data()));
}

// A signal in eight directions plus noise. Coding these directions in a term of their own takes fewer bits than coding
// them with the other values.
TEST(BoundRecipe, ALowRankTermPaysWhereThereIsOne) {
  Matrix<float> x = gaussian(1024, 512, 5);
  const Matrix<float> a = gaussian(1024, 8, 6), b = gaussian(8, 512, 7);
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      for (size_t k = 0; k < 8; ++k) x(r, c) += a(r, k) * b(k, c);
    }
  }
  const auto lowrank = [](const std::string& rest) {
    return "lowrank(rank=8) > { left: uniform(bits=8, per=column) > rans ; right: uniform(bits=8) > rans } + " + rest;
  };
  const CodedMatrix two = encode(Recipe::parse(lowrank("trellis(step=0.7) > rans")), x);
  const CodedMatrix one = encode(Recipe::parse("trellis(step=0.5) > rans"), x);
  EXPECT_LT(bytes_of(two), bytes_of(one));
  EXPECT_LT(nmse(x, two.reconstruction), 0.5 * nmse(x, one.reconstruction));
  const auto names = plane_names(Recipe::parse(lowrank("trellis > rans")));
  EXPECT_EQ(names[1], "term0/left/uniform");
  EXPECT_EQ(names[6], "term0/right/codes");
}

// keep=norm: |x'| = |x|. keep=product: <x, x'> = |x|^2. In both cases x' has the direction of the code.
TEST(BoundRecipe, RowsKeepTheirNormOrTheirProducts) {
  Matrix<float> x = gaussian(40, 257, 9);
  std::fill_n(x.row(3), 257, 0.0f);
  for (size_t c = 0; c < 257; ++c) x(5, c) *= 1e20f;
  std::vector<Matrix<float>> decoded;
  for (const char* keep : {"norm", "product"}) {
    const std::string text =
        std::string("rownorm(keep=") + keep + ") > signs > dct > lloyd(bits=1, per=tensor) > bitpack";
    const Recipe recipe = Recipe::parse(text);
    const CodedMatrix coded = encode(recipe, x);
    decoded.emplace_back(40, 257);
    load(recipe, x.shape(), coded)->dequantize({0, 0, 40, 257}, decoded.back().view());
    ASSERT_TRUE(std::equal(coded.reconstruction.data(), coded.reconstruction.data() + x.size(), decoded.back().data()));
  }
  for (size_t r = 0; r < 40; ++r) {
    double xx = 0, nn = 0, xp = 0, np = 0, pp = 0;
    for (size_t c = 0; c < 257; ++c) {
      const double v = double{x(r, c)}, n = double{decoded[0](r, c)}, p = double{decoded[1](r, c)};
      xx += v * v;
      nn += n * n;
      xp += v * p;
      np += n * p;
      pp += p * p;
    }
    EXPECT_NEAR(nn, xx, 1e-5 * xx) << r;
    EXPECT_NEAR(xp, xx, 1e-5 * xx) << r;
    EXPECT_NEAR(np * np, nn * pp, 1e-5 * nn * pp) << r;
    if (xx > 0) {
      EXPECT_GT(pp, 1.2 * xx) << r;  // one bit per weight gives a cosine of about .8
    }
  }
}

TEST(BoundRecipe, TrellisCodesAreReadAsIntegers) {
  const Recipe recipe = Recipe::parse("trellis(step=0.3) > rans");
  const Matrix<float> x = gaussian(1300, 300, 8);  // the rows fill two tiles
  const CodedMatrix coded = encode(recipe, x);
  const auto bound = load(recipe, x.shape(), coded);
  const std::optional<IntegerView> view = bound->integer_view();
  ASSERT_TRUE(view);
  Matrix<int32_t> k(276, 300);
  bound->integers({1024, 0, 276, 300}, k.view());
  for (size_t r = 0; r < 276; ++r) {
    for (size_t c = 0; c < 300; ++c) {
      ASSERT_EQ(static_cast<float>(k(r, c)) * view->column_factors[c], coded.reconstruction(1024 + r, c));
    }
  }
  size_t next = 1024;
  bound->symbols_by_rows({1024, 0, 276, 300}, 100, [&](size_t row, MatrixView<const Symbol> symbols) {
    ASSERT_EQ(row, next);
    next += symbols.rows();
    for (size_t r = 0; r < symbols.rows(); ++r) {
      for (size_t c = 0; c < 300; ++c) ASSERT_EQ(symbols(r, c) - view->bias, k(row - 1024 + r, c) >> 1);
    }
  });
  EXPECT_EQ(next, 1300u);
  EXPECT_FALSE(
      load(Recipe::parse("lloyd > rans"), x.shape(), encode(Recipe::parse("lloyd > rans"), x))->integer_view());
}

}  // namespace
}  // namespace occ
