// Dense operators against sums in double, on every SIMD target.
#include "operators/dense.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "operators/dense_kernels.h"
#include "operators/operators_for_test.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

class DenseTest : public testing::TestWithParam<DType> {};

TEST_P(DenseTest, ProductsAreThoseOfDoubles) {
  for (const Shape shape : {Shape{1, 1}, Shape{1, 70}, Shape{70, 1}, Shape{5, 7}, Shape{33, 100}, Shape{64, 1024},
                            Shape{50, 2500}, Shape{300, 576}, Shape{0, 5}, Shape{5, 0}}) {
    const Matrix<float> w = normal_matrix(shape.rows, shape.cols, 1);
    const MemoryFile file(w.view(), GetParam());
    for (const bool transposed : {false, true}) {
      const auto op = make_operator(file, 0, {.arithmetic = Arithmetic::kF32, .transposed = transposed});
      const Matrix<float> expected = transposed ? transposed_for_test(file.values(0).view()) : file.values(0);
      ASSERT_EQ(op->shape(), expected.shape());
      EXPECT_EQ(op->resident_bytes(), w.size() * dtype_size(GetParam()));
      for (size_t batch : {1, 2, 3, 4, 5, 6, 7, 13, 17}) {
        const Matrix<float> x = normal_matrix(batch, expected.cols(), batch);
        for_each_simd_target(
            [&] { expect_product(*op, expected, x, [](double, double absolute) { return 1e-5 * absolute; }); });
      }
      const Matrix<float> x = normal_matrix(kInputsAsAlone, expected.cols(), 5);
      for_each_simd_target([&] { expect_as_alone(*op, x); });
      expect_rows(*op, expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DenseTest, testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

TEST(Dense, OtherTypesBecomeF32) {
  const Matrix<float> w = normal_matrix(9, 80, 2);
  const MemoryFile file(w.view(), DType::kF64);
  EXPECT_EQ(make_operator(file, 0, {})->kind(), "f32");
}

TEST(Dense, AddsToWhatIsThere) {
  const Matrix<float> w = normal_matrix(37, 1300, 3), x = normal_matrix(5, 1300, 4);
  for (const size_t batch : {size_t{1}, size_t{5}}) {
    const auto in = x.view().row_range(0, batch);
    Matrix<float> once(batch, 37), twice(batch, 37);
    dense_product(DenseView(w.view()), in, once.view());
    dense_product(DenseView(w.view()), in, twice.view());
    dense_product(DenseView(w.view()), in, twice.view(), true);
    for (size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(twice.data()[i], 2 * once.data()[i], 1e-3);
  }
}

TEST(Dense, NotANumberSpreads) {
  const Matrix<float> w = normal_matrix(9, 80, 2);
  const MemoryFile file(w.view(), DType::kF32);
  const auto op = make_operator(file, 0, {});
  Matrix<float> x = normal_matrix(4, 80, 3), y(4, 9);
  x(1, 33) = std::numeric_limits<float>::quiet_NaN();
  op->apply(x.view(), y.view());
  for (size_t r = 0; r < 9; ++r) {
    EXPECT_TRUE(std::isnan(y(1, r)));
    EXPECT_TRUE(std::isfinite(y(0, r)) && std::isfinite(y(2, r)));
  }
}

}  // namespace
}  // namespace occ
