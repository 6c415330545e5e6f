#include "calibration/moment_sum.h"

#include <gtest/gtest.h>

namespace occ {
namespace {

Matrix<double> sloped(size_t n) {
  Matrix<double> h(n, n);
  for (size_t r = 0; r < n; ++r) {
    for (size_t c = 0; c < n; ++c) h(r, c) = r == c ? static_cast<double>(2 * r + 1) : 0.5;
  }
  return h;
}

// The mean diagonal does not change; the share of white inputs falls from 1 to almost 0.
TEST(AddWhite, FadesWithTheNumberOfTokens) {
  constexpr size_t kWidth = 4;
  const Matrix<double> measured = sloped(kWidth);  // mean of the diagonal: 4
  const struct {
    size_t tokens;
    double white;  // share of white inputs
  } cases[] = {{0, 1},
               {4, 4 / (1 + 4.0 / 256) / (4 / (1 + 4.0 / 256) + 4)},
               {256, 2.0 / 258},
               {25600, 4.0 / 101 / (4.0 / 101 + 25600)}};
  for (const auto& at : cases) {
    Matrix<double> h = sloped(kWidth);
    add_white(at.tokens, h.view());
    EXPECT_NEAR(mean_diagonal(h.view()), 4, 1e-12);
    for (size_t r = 0; r < kWidth; ++r) {
      for (size_t c = 0; c < kWidth; ++c) {
        EXPECT_NEAR(h(r, c), (1 - at.white) * measured(r, c) + (r == c ? 4 * at.white : 0), 1e-12) << at.tokens;
      }
    }
  }
  Matrix<double> unknown(kWidth, kWidth);
  add_white(0, unknown.view());
  EXPECT_EQ(unknown(2, 2), 1);
}

}  // namespace
}  // namespace occ
