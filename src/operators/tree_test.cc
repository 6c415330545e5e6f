// Operators from recipes against the decoded matrix.
#include "operators/tree.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "container/archive_file.h"
#include "occ/compress.h"
#include "operators/coded_for_test.h"
#include "operators/operators_for_test.h"
#include "operators/together.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

// Activations of N(0, 1) are rounded to max / 127 in blocks of 256: an error of at most 4 / 127 / sqrt(12) = 0.9 % of
// their rms, independent of the weights: 6 sigma. Two factors or terms have two such errors.
double int8_limit(double norm, double absolute) { return 0.06 * norm + 1e-5 * absolute; }

struct Case {
  const char* recipe;
  const char* kind;  // begins so
};

class TreeTest : public testing::TestWithParam<Case> {};

TEST_P(TreeTest, ProductsAreThoseOfTheDecodedMatrix) {
  for (const Shape shape :
       {Shape{1, 1}, Shape{1, 700}, Shape{700, 1}, Shape{5, 331}, Shape{65, 96}, Shape{130, 576}, Shape{2700, 100}}) {
    const Recipe recipe = Recipe::parse(GetParam().recipe);
    if (recipe.terms[0].stages.back().name == "split" && shape.rows < 4) continue;
    const CodedForTest coded(recipe, normal_matrix(shape.rows, shape.cols, shape.rows).view());
    for (const bool transposed : {false, true}) {
      const auto op = make_tree(coded.load(), nullptr, transposed);
      const Matrix<float> w = transposed ? transposed_for_test(coded.decoded.view()) : coded.decoded.clone();
      ASSERT_EQ(op->shape(), w.shape());
      if (!transposed && shape.size() > 1000) {
        EXPECT_TRUE(op->kind().starts_with(GetParam().kind)) << op->kind();
      }
      expect_rows(*op, w, 1e-5);
      for (const size_t batch : {1, 2, 5, 17}) {
        expect_product(*op, w, normal_matrix(batch, w.cols(), batch), int8_limit);
      }
      Matrix<float> x = normal_matrix(kInputsAsAlone, w.cols(), 3);
      for (size_t i = 0; i < x.size(); i += 97) x.data()[i] *= 50;  // some outliers
      expect_as_alone(*op, x);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Recipes, TreeTest,
    testing::Values(
        Case{"trellis > rans", "int8"}, Case{"trellis(states=4, step=1) > rans", "int8"},
        Case{"trellis(states=16) > rans", "int8"}, Case{"trellis(states=64, step=0.25) > rans", "int8"},
        Case{"trellis(states=256) > rans", "int8"}, Case{"trellis(step=2) > rans", "int8"},
        Case{"trellis(step=0.25) > rans", "int8"}, Case{"trellis(step=0.12) > rans", "int8"},
        Case{"trellis(step=0.06) > rans", "int8"}, Case{"trellis(step=0.03) > rans", "int8"},
        Case{"trellis(step=0.001) > rans", "decoded"}, Case{"uniform(bits=1) > bitpack", "int8"},
        Case{"uniform > bitpack", "int8"}, Case{"uniform(bits=8) > rans", "int8"},
        Case{"uniform(bits=9) > rans", "decoded"}, Case{"uniform(per=tensor) > rans", "int8"},
        Case{"uniform(per=column) > rans", "int8"}, Case{"uniform(zero=asymmetric) > rans", "int8"},
        Case{"uniform(bits=8, group=32, zero=asymmetric) > rans", ""}, Case{"uniform(group=64) > bitpack", ""},
        Case{"uniform(bits=3, group=128) > bitpack", ""}, Case{"uniform(bits=2, group=256) > bitpack", ""},
        Case{"uniform(bits=5, group=512) > bitpack", "int8"}, Case{"uniform(group=48) > bitpack", ""},
        Case{"uniform(per=column, zero=asymmetric) > rans", "decoded"}, Case{"lloyd(bits=3) > rans", "decoded"},
        Case{"identity > trellis > rans", "int8"}, Case{"signs(seed=7) > hadamard > trellis > rans", "int8"},
        Case{"hadamard(block=64) > uniform > rans", "int8"}, Case{"dct > trellis > rans", "int8"},
        Case{"dst(block=48) > trellis > rans", "int8"}, Case{"pca(block=16) > trellis > rans", "int8"},
        Case{"rowscale > trellis > rans", "int8"}, Case{"signs(axis=out, seed=3) > trellis > rans", "int8"},
        Case{"hadamard(axis=out) > trellis > rans", "int8"}, Case{"dct(axis=out, block=32) > trellis > rans", "int8"},
        Case{"rowscale > signs > hadamard > dst(axis=out) > trellis > rans", "int8"},
        Case{"signs > hadamard > lloyd > rans", "decoded"}, Case{"kashin(rounds=2) > bitpack", "decoded"},
        Case{"signs > hadamard > kashin(block=64, basis=orthogonal, clusters=joint, rounds=2) > rans", "decoded"},

        Case{"split(rows=3) > { head: uniform(bits=3) > bitpack ; tail: dst > trellis > rans }", "int8"},
        Case{"uniform(bits=2) > bitpack + trellis(step=0.2) > rans", "int8"},
        Case{"lowrank(rank=3) > { left: uniform(bits=8, per=column) > rans ; right: uniform(bits=8) > bitpack } + "
             "trellis > rans",
             "int8"},
        Case{"signs > lowrank(rank=2) > { left: trellis(step=0.1) > rans ; right: rowscale > lloyd > rans } + "
             "lloyd(bits=3) > rans",
             "int8"}));

// Wide matrices of several tiles, on every target.
TEST(Tree, EveryTarget) {
  for (const char* text : {"trellis > rans", "signs > hadamard > trellis(states=32, step=0.1) > rans",
                           "uniform(bits=4, group=64, zero=asymmetric) > rans"}) {
    const CodedForTest coded(Recipe::parse(text), normal_matrix(1100, 1000, 1).view());
    const auto op = make_tree(coded.load(), nullptr, false);
    for (const size_t batch : {4u, 25u}) {
      const Matrix<float> x = normal_matrix(batch, 1000, 2);
      for_each_simd_path([&] { expect_product(*op, coded.decoded, x, int8_limit); });
    }
    const Matrix<float> x = normal_matrix(kInputsAsAlone, 1000, 3);
    for_each_simd_path([&] { expect_as_alone(*op, x); });
    expect_rows(*op, coded.decoded, 1e-6);
  }
}

// One activation a hundred times as large as the others is as exact as they are, and costs them nothing.
TEST(Tree, OutliersAmongTheActivations) {
  Matrix<float> w = normal_matrix(200, 600, 1);
  for (size_t i = 0; i < w.size(); i += 501) w.data()[i] *= 40;  // escapes in the columns of outliers
  for (const char* text : {"trellis > rans", "trellis(states=16) > rans", "uniform(zero=asymmetric) > rans",
                           "uniform(group=32) > rans", "uniform(group=64, zero=asymmetric) > rans"}) {
    const CodedForTest coded(Recipe::parse(text), w.view());
    const auto op = make_tree(coded.load(), nullptr, false);
    for (const size_t batch : {size_t{3}, size_t{13}}) {
      Matrix<float> x = normal_matrix(batch, 600, 2);
      const Matrix<float> plain = x.clone();
      for (size_t c = 0; c < 3; ++c) x(0, 250 * c) = x(batch - 1, 7 + c) = 100;
      double error = 0, error_plain = 0;
      for (const Matrix<float>* in : {static_cast<const Matrix<float>*>(&x), &plain}) {
        Matrix<float> y(batch, 200);
        op->apply(in->view(), y.view());
        for (size_t b = 0; b < batch; ++b) {
          for (size_t r = 0; r < 200; ++r) {
            double sum = 0;
            for (size_t c = 0; c < 600; ++c) sum += double{coded.decoded(r, c)} * double{(*in)(b, c)};
            (in == &x ? error : error_plain) += (y(b, r) - sum) * (y(b, r) - sum);
          }
        }
      }
      EXPECT_LT(error, 1.2 * error_plain) << text << " " << batch;
    }
  }
}

// Column factors of feedback differ by orders of magnitude; they go into the activations before these are rounded.
TEST(Tree, ColumnFactorsOfFeedback) {
  const size_t n = 320;
  Matrix<double> h(n, n);
  for (size_t i = 0; i < n; ++i) h(i, i) = std::exp2(static_cast<double>(i % 9) - 4);
  FitContext ctx;
  ctx.hessian = h.view();
  const CodedForTest coded(Recipe::parse("trellis(step=0.3) > rans"), normal_matrix(1200, n, 1).view(), ctx);
  ASSERT_NE(coded.load()->integer_view()->column_factors[0], coded.load()->integer_view()->column_factors[4]);
  const auto op = make_tree(coded.load(), nullptr, false);
  Matrix<float> x = normal_matrix(3, n, 2);
  for (size_t b = 0; b < 3; ++b) {
    for (size_t c = 0; c < n; ++c) x(b, c) *= static_cast<float>(std::sqrt(h(c, c)));
  }
  expect_product(*op, coded.decoded, x, int8_limit);
  expect_rows(*op, coded.decoded);
}

TEST(Tree, UnusualMatrices) {
  Matrix<float> zeros(70, 90), constant(70, 90), mixed = normal_matrix(1500, 300, 3);
  for (size_t i = 0; i < constant.size(); ++i) constant.data()[i] = 0.25f;
  for (size_t c = 0; c < 300; ++c) mixed(77, c) = 0;                      // a row of zeros
  for (size_t r = 0; r < 1500; ++r) mixed(r, 5) = 0;                      // a column of zeros
  for (size_t i = 0; i < mixed.size(); i += 997) mixed.data()[i] *= 100;  // escapes
  for (size_t c = 0; c < 300; ++c) mixed(500, c) *= 30;                   // a row of large values
  for (const Matrix<float>* m : {&zeros, &constant, &mixed}) {
    for (const char* text : {"trellis > rans", "trellis(states=128) > rans", "rowscale > trellis > rans",
                             "uniform(bits=4) > rans", "uniform(bits=4, group=32, zero=asymmetric) > rans"}) {
      const CodedForTest coded(Recipe::parse(text), m->view());
      const auto op = make_tree(coded.load(), nullptr, false);
      EXPECT_NE(op->kind(), "decoded by tile") << text;
      expect_rows(*op, coded.decoded, 1e-6);
      expect_product(*op, coded.decoded, normal_matrix(2, coded.decoded.cols(), 4), int8_limit);
      expect_product(*op, coded.decoded, normal_matrix(12, coded.decoded.cols(), 4), int8_limit);
    }
  }
}

// Several weights in one loop: bit for bit what each gives alone, whatever kind it is.
TEST(Tree, ProductsTogether) {
  const size_t cols = 330;
  std::vector<std::unique_ptr<CodedForTest>> coded;
  std::vector<std::unique_ptr<Operator>> operators;
  for (const char* text : {"trellis > rans", "trellis(states=64, step=0.3) > rans", "uniform(group=64) > rans",
                           "lloyd > rans", "uniform(zero=asymmetric) > rans"}) {
    const size_t rows = 70 + 100 * coded.size();
    coded.push_back(std::make_unique<CodedForTest>(Recipe::parse(text), normal_matrix(rows, cols, rows).view()));
    operators.push_back(make_tree(coded.back()->load(), nullptr, false));
  }
  for (const size_t batch : {1u, 9u, 20u}) {
    const Matrix<float> x = normal_matrix(batch, cols, batch);
    std::vector<Matrix<float>> found;
    std::vector<Product> products;
    for (const auto& op : operators) found.emplace_back(batch, op->shape().rows);
    for (size_t i = 0; i < operators.size(); ++i) products.push_back({operators[i].get(), found[i].view()});
    apply_together(x.view(), products);
    for (size_t i = 0; i < operators.size(); ++i) {
      Matrix<float> alone(batch, operators[i]->shape().rows);
      operators[i]->apply(x.view(), alone.view());
      EXPECT_TRUE(std::equal(alone.data(), alone.data() + alone.size(), found[i].data())) << i << " " << batch;
    }
  }
}

TEST(Tree, ActivationsOfZeroOrNaN) {
  const CodedForTest coded(Recipe::parse("signs > hadamard > trellis > rans + uniform(bits=2) > rans"),
                           normal_matrix(130, 300, 1).view());
  const auto op = make_tree(coded.load(), nullptr, false);
  Matrix<float> x(4, 300), y(4, 130);
  x(1, 7) = std::numeric_limits<float>::quiet_NaN();
  x(2, 299) = std::numeric_limits<float>::infinity();
  x(3, 0) = 1e-42f;
  op->apply(x.view(), y.view());
  Matrix<float> many(14, 300), y_many(14, 130);  // the same with more inputs
  for (size_t i = 0; i < 4; ++i) std::copy_n(x.row(i), 300, many.row(3 * i));
  op->apply(many.view(), y_many.view());
  for (size_t r = 0; r < 130; ++r) {
    EXPECT_EQ(y_many(0, r), 0);
    EXPECT_TRUE(std::isnan(y_many(3, r)));
    EXPECT_FALSE(std::isfinite(y_many(6, r)));
    EXPECT_EQ(y_many(9, r), 0);
    EXPECT_EQ(y_many(13, r), 0);
    EXPECT_EQ(y(0, r), 0);
    EXPECT_TRUE(std::isnan(y(1, r)));
    EXPECT_FALSE(std::isfinite(y(2, r)));
    EXPECT_EQ(y(3, r), 0);
  }
}

// With 8 states: the rate of the code and 1.3 bits.
TEST(Tree, Memory) {
  for (const size_t cols : {1024u, 576u, 960u}) {
    const Matrix<float> x = normal_matrix(2048, cols, 1);
    for (const double step : {0.8, 0.7, 0.498, 0.35, 0.249, 0.2, 0.1245, 0.09}) {
      const CodedForTest coded(Recipe::parse(fmt::format("trellis(step={}) > rans(tables=64)", step)), x.view());
      const auto op = make_tree(coded.load(), nullptr, false);
      const auto weights = static_cast<double>(x.size());
      const double rate = 8 * static_cast<double>(coded.bytes()) / weights;
      EXPECT_LE(8 * static_cast<double>(op->resident_bytes()) / weights, rate + 1.3) << op->kind() << ", rate " << rate;
    }
  }
}

TEST(Tree, FromAnArchive) {
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "occ_operator_test.occ";
  const Matrix<float> w = normal_matrix(1500, 200, 1), x = normal_matrix(3, 200, 2);
  for (const char* method : {"auto", "trellis", "rtn(group=64)", "lloyd"}) {
    CompressOptions options;
    options.method = method;
    options.bits = 4;
    options.force = true;
    options.sync = false;
    compress_matrix(w.view(), "w", path, options);
    const ArchiveFile file(path);
    Matrix<float> decoded(1500, 200);
    file.read_f32(0, 0, decoded.size(), decoded.data());
    const auto int8 = make_operator(file, 0, {});
    expect_product(*int8, decoded, x, int8_limit);
    expect_rows(*int8, decoded, 1e-5);
    const auto f32 = make_operator(file, 0, {.arithmetic = Arithmetic::kF32});
    EXPECT_EQ(f32->kind(), "f32");
    expect_product(*f32, decoded, x, [](double, double absolute) { return 1e-5 * absolute; });
    expect_rows(*f32, decoded);
    if (std::string(method) == "lloyd") {
      EXPECT_EQ(int8->resident_bytes(), file.stored_bytes(0));
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace occ
