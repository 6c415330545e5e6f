#include "simd/product.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/normal_matrix_for_test.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

// Oracle with the documented order: chunks of 128 terms, each in order, their sums in order. volatile keeps the
// compiler from fusing or reordering.
template <typename T>
T slow_sum(const T* a, const PackedMatrix<T>& b, size_t c) {
  volatile T total = 0;
  for (size_t begin = 0; begin < b.k(); begin += 128) {
    volatile T sum = 0;
    for (size_t i = begin; i < std::min(begin + 128, b.k()); ++i) {
      volatile T product = a[i] * b.at(i, c);
      sum = sum + product;
    }
    total = begin == 0 ? sum : total + sum;
  }
  return total;
}

template <typename T>
void check_ordered_product() {
  for_each_simd_target([&] {
    for (const size_t k : {0, 1, 7, 127, 128, 129, 300}) {
      for (const size_t n : {1, 15, 16, 17, 40}) {
        for (const size_t rows : {0, 1, 3, 4, 5, 70}) {
          const auto wide = normal_matrix<T>(rows, k + 3, 5);
          const MatrixView<const T> a = wide.view().sub({0, 1, rows, k});
          const PackedMatrix<T> b(normal_matrix<T>(k, n, 6).view());
          Matrix<T> out(rows, n + 2);
          ordered_product(a, b, out.view().sub({0, 1, rows, n}));
          for (size_t r = 0; r < rows; ++r) {
            for (size_t c = 0; c < n; ++c)
              ASSERT_EQ(out(r, c + 1), slow_sum(a.row(r), b, c)) << k << " " << n << " " << rows;
            ASSERT_EQ(out(r, 0), 0);
            ASSERT_EQ(out(r, n + 1), 0);
          }
        }
      }
    }
  });
}

TEST(OrderedProduct, SumsInTheDocumentedOrderF32) { check_ordered_product<float>(); }
TEST(OrderedProduct, SumsInTheDocumentedOrderF64) { check_ordered_product<double>(); }

template <typename T>
void check_mix_blocks(double tolerance) {
  for_each_simd_target([&] {
    for (const size_t m : {1, 3, 9, 63, 255}) {
      for (const size_t width : {1, 5, 16, 33}) {
        auto data = normal_matrix<T>(m, width + 2, 7);
        const auto before = data.clone();
        const auto matrix = normal_matrix<T>(m, m, 8);
        mix_blocks(data.data(), m, width + 2, width, matrix.data());
        for (size_t i = 0; i < m; ++i) {
          for (size_t j = 0; j < width; ++j) {
            double sum = 0;
            for (size_t l = 0; l < m; ++l) sum += double{matrix(i, l)} * double{before(l, j)};
            ASSERT_NEAR(data(i, j), sum, tolerance) << m << " " << width;
          }
          ASSERT_EQ(data(i, width), before(i, width));
        }
      }
    }
  });
}

TEST(MixBlocks, MatchesTheDefinitionF32) { check_mix_blocks<float>(2e-5); }
TEST(MixBlocks, MatchesTheDefinitionF64) { check_mix_blocks<double>(1e-13); }

}  // namespace
}  // namespace occ
