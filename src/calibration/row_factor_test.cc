// Compares the factor of the row correlations with its definition, and measures the gain of feedback between rows.
#include "calibration/row_factor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "calibration/fisher.h"
#include "quantization/feedback_for_test.h"
#include "recipe/bound.h"

namespace occ {
namespace {

int16_t packed(double c) { return static_cast<int16_t>(std::min(std::lrint(0x1p15 * c), 0x7fffL)); }

// Returns correlations rho^|r - s| within blocks, in the order of TensorFisher.
std::vector<int16_t> neighbours(size_t rows, double rho) {
  std::vector<int16_t> out;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t s = r - r % kRowBlock; s <= r; ++s) out.push_back(packed(std::pow(rho, double(r - s))));
  }
  return out;
}

TEST(RowFactor, IsThatOfTheCorrelations) {
  constexpr size_t kRows = 20;
  constexpr double kDamping = 0.25;
  const Square h = random_hessian(kRows, 3);
  std::vector<int16_t> correlations;
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t s = 0; s <= r; ++s) correlations.push_back(packed(h(r, s) / std::sqrt(h(r, r) * h(s, s))));
  }
  const RowFactor factor = factor_rows(correlations, kRows, kDamping);
  const auto m = [&](size_t s, size_t r) { return s == r ? 1.0 : s < r ? double{factor.gains(s, r)} : 0.0; };
  for (size_t r = 0, at = 0; r < kRows; ++r) {
    for (size_t s = 0; s <= r; ++s, ++at) {
      double sum = 0;
      for (size_t t = 0; t < kRows; ++t) sum += m(r, t) * factor.weights[t] * m(s, t);
      EXPECT_NEAR(sum, r == s ? 1 : 0x1p-15 * correlations[at] / (1 + kDamping), 1e-6) << r << ", " << s;
    }
  }
}

TEST(RowFactor, BlocksStandAlone) {
  const size_t rows = kRowBlock + 5;
  const RowFactor factor = factor_rows(neighbours(rows, 0.5), rows, 0);
  EXPECT_EQ(factor.gains.cols(), kRowBlock);
  for (const size_t s : {size_t{0}, kRowBlock - 3, kRowBlock, rows - 3}) {
    const size_t first = s - s % kRowBlock;
    for (const size_t lag : {1, 2}) EXPECT_NEAR(factor.gains(s, s + lag - first), std::exp2(-double(lag)), 1e-3) << s;
  }
  // No later row of its block corrects the errors of the last row.
  EXPECT_NEAR(factor.weights[0], 0.75, 1e-3);
  EXPECT_NEAR(factor.weights[kRowBlock - 1], 1, 1e-6);
  EXPECT_NEAR(factor.weights[kRowBlock], 0.75, 1e-3);
}

TEST(RowFactor, OfNoCorrelationsThatThereCanBeIsOne) {
  // Three rows with pairwise correlations of -1, which is impossible.
  const RowFactor factor = factor_rows(std::vector<int16_t>{0x7fff, -0x7fff, 0x7fff, -0x7fff, -0x7fff, 0x7fff}, 3, 0);
  for (size_t r = 0; r < 3; ++r) EXPECT_EQ(factor.weights[r], 1);
  for (size_t i = 0; i < factor.gains.size(); ++i) EXPECT_EQ(factor.gains.data()[i], 0);
}

struct Loss {
  double reported, full, bits;
};

// Rows with different costs between 1/4 and 4, whose gradients have correlations of kRho^|r - s|.
class CodedRows : public testing::TestWithParam<int> {
 protected:
  static constexpr size_t kRows = 600, kCols = 48;
  static constexpr double kRho = 0.7;

  Loss code(bool fed) const {
    const Matrix<float> w = normal_matrix(kRows, kCols, 1);
    const Square h = random_hessian(kCols, 2);
    const RowFactor factor = factor_rows(neighbours(kRows, kRho), kRows, 0);
    std::vector<double> costs(kRows), weights(kRows);
    for (size_t r = 0; r < kRows; ++r) costs[r] = std::exp2(2 * std::sin(double(r)));
    Matrix<float> gains(kRows, kRows);
    for (size_t s = 0; s < kRows; ++s) {
      weights[s] = costs[s] * (fed ? factor.weights[s] : 1);
      for (size_t r = s + 1; r < kRows; ++r) {
        gains(s, r) = static_cast<float>(std::sqrt(costs[s] / costs[r])) * factor.gains(s, r);
      }
    }
    FitContext ctx;
    ctx.hessian = h.view();
    ctx.damping = 0.001;
    ctx.row_weights = weights;
    if (fed) ctx.row_gains = gains.view();
    const std::string recipe =
        fmt::format("rowscale(by=weight) > trellis(states={}, step=0.1) > rans(tables=64)", GetParam());
    const auto bound = fit_recipe(Recipe::parse(recipe), MatrixSource(w.view()), ctx);
    Matrix<float> values = w.clone();
    bound->quantize({0, 0, kRows, kCols}, values.view());
    Loss loss{};
    std::vector<double> errors(kRows);
    EXPECT_TRUE(bound->weighted_errors(errors));
    for (size_t r = 0; r < kRows; ++r) loss.reported += weights[r] * errors[r];
    Matrix<double> eh(kRows, kCols);
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t i = 0; i < kCols; ++i) {
        for (size_t j = 0; j < kCols; ++j) eh(r, i) += double(w(r, j) - values(r, j)) * h(j, i);
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t s = 0; s < kRows; ++s) {
        double product = 0;
        for (size_t i = 0; i < kCols; ++i) product += eh(r, i) * double(w(s, i) - values(s, i));
        loss.full += std::sqrt(costs[r] * costs[s]) * std::pow(kRho, std::fabs(double(r) - double(s))) * product;
      }
    }
    std::vector<CodedPlane> planes;
    bound->code(ctx, "", &planes);
    for (const CodedPlane& p : planes) loss.bits += 8 * double(p.bytes.size()) / double(kRows * kCols);
    return loss;
  }
};

TEST_P(CodedRows, LoseLessByWhatTheyTellOfEachOther) {
  const Loss plain = code(false), fed = code(true);
  EXPECT_NEAR(fed.reported / fed.full, 1, 0.01);
  // At high rates and equal bits, feedback multiplies the loss by 1 - rho^2. The column steps, coarse for so few rows,
  // take a little of the gain.
  const double gain = fed.full / plain.full * std::exp2(2 * (fed.bits - plain.bits));
  EXPECT_NEAR(gain / (1 - kRho * kRho), 1, 0.15) << plain.bits << " and " << fed.bits << " bits";
}

INSTANTIATE_TEST_SUITE_P(States, CodedRows, testing::Values(4, 8, 32), testing::PrintToStringParamName());

}  // namespace
}  // namespace occ
