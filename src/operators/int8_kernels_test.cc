// The integer kernels against plain integers, exactly, on every SIMD target.
#include "operators/int8_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "occ/matrix.h"
#include "operators/memory_file_for_test.h"
#include "operators/packed_integers.h"
#include "quantization/trellis_code.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

constexpr size_t kGroupCounts[] = {2, 4, 8};

Matrix<uint8_t> random_bytes(size_t rows, size_t cols, unsigned bits, uint64_t seed) {
  Matrix<uint8_t> m(rows, cols);
  Rng rng(seed);
  for (size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<uint8_t>(rng.below(uint64_t{1} << bits));
  return m;
}

// Rows of 256 codes, of which 32 groups count.
Matrix<uint8_t> packed_cell(const Matrix<uint8_t>& codes, unsigned bits, size_t groups) {
  const size_t together = rows_together(groups), steps = (codes.rows() + together - 1) / together;
  Matrix<uint8_t> out(steps, packed_bytes_of(bits)), side_by_side(steps, kCellColumns);
  for (size_t r = 0; r < codes.rows(); ++r) {
    std::copy_n(codes.row(r), groups * kGroupColumns,
                side_by_side.row(r / together) + r % together * groups * kGroupColumns);
  }
  for (size_t i = 0; i < steps; ++i) pack_codes(side_by_side.row(i), bits, out.row(i));
  return out;
}

TEST(Int8Kernels, CodesComeBack) {
  for (unsigned bits = 0; bits <= 8; ++bits) {
    for (const size_t groups : kGroupCounts) {
      for (const size_t rows : {size_t{1}, size_t{5}, kCellRows}) {
        const Matrix<uint8_t> codes = random_bytes(rows, kCellColumns, bits, bits);
        const Matrix<uint8_t> packed = packed_cell(codes, bits, groups);
        if (rows == kCellRows) {
          EXPECT_EQ(8 * packed.size(), rows * groups * kGroupColumns * bits);  // nothing is padded
        }
        for_each_simd_target([&] {
          Matrix<uint8_t> out(kCellRows, kCellColumns);
          unpack_cell({packed.data(), rows, groups, bits, nullptr}, nullptr, out.data());
          for (size_t r = 0; r < rows; ++r) {
            for (size_t c = 0; c < groups * kGroupColumns; ++c) ASSERT_EQ(out(r, c), codes(r, c)) << bits << groups;
          }
        });
      }
    }
  }
}

TEST(Int8Kernels, StatesAreCarriedDownTheRows) {
  for (const uint32_t states : {4u, 8u}) {
    const TrellisCode trellis = trellis_code(states);
    const auto byte = [](uint32_t s) { return static_cast<uint8_t>(s >> 1 << 2 | (s & 1)); };
    alignas(16) uint8_t next[16] = {};
    for (uint32_t s = 0; s < states; ++s) {
      for (uint32_t b = 0; b < 2; ++b) next[byte(s) | b << 1] = byte(trellis.next(s, b));
    }
    for (unsigned bits = 0; bits <= 7; ++bits) {
      for (const size_t groups : kGroupCounts) {
        const Matrix<uint8_t> codes = random_bytes(kCellRows, kCellColumns, bits, bits);
        const Matrix<uint8_t> packed = packed_cell(codes, bits, groups);
        for_each_simd_target([&] {
          Matrix<uint8_t> out(kCellRows, kCellColumns), state(1, kCellColumns);
          std::vector<uint32_t> expected(kCellColumns);
          for (size_t c = 0; c < kCellColumns; ++c) {
            expected[c] = static_cast<uint32_t>(c % states);
            state(0, c) = byte(expected[c]);
          }
          unpack_cell({packed.data(), kCellRows, groups, bits, next}, state.data(), out.data());
          for (size_t c = 0; c < groups * kGroupColumns; ++c) {
            for (size_t r = 0; r < kCellRows; ++r) {
              ASSERT_EQ(out(r, c), 2 * codes(r, c) + (expected[c] & 1));
              expected[c] = trellis.next(expected[c], codes(r, c) & 1u);
            }
            ASSERT_EQ(state(0, c), byte(expected[c]));
          }
        });
      }
    }
  }
}

struct DotCase {
  unsigned bits;
  bool extreme;  // the largest k' and |x| everywhere, where int16 is closest to its end
};

class DotTest : public testing::TestWithParam<DotCase> {};

TEST_P(DotTest, SumsAreExact) {
  const auto [bits, extreme] = GetParam();
  const unsigned most = (1u << bits) - 1;
  for (const size_t groups : kGroupCounts) {
    for (const size_t rows : {size_t{1}, size_t{6}, kCellRows}) {
      for (const size_t batch : {size_t{1}, size_t{3}}) {
        Matrix<uint8_t> k = random_bytes(kCellRows, kCellColumns, bits, bits);
        Matrix<int8_t> x(batch, 2 * kCellColumns);
        Rng rng(batch);
        for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<int8_t>(rng.below(255));
        for (size_t i = 0; i < x.size(); ++i) {
          if (x.data()[i] == -128) x.data()[i] = -127;
          if (extreme) x.data()[i] = (i / 512) % 2 == 0 ? 127 : -127;
        }
        for (size_t i = 0; i < k.size() && extreme; ++i) k.data()[i] = static_cast<uint8_t>(most);
        std::vector<float> scales(batch), base(kCellRows), sums(batch);
        for (size_t b = 0; b < batch; ++b) {
          scales[b] = static_cast<float>(1u << b);
          sums[b] = static_cast<float>(b) - 3;
        }
        for (size_t r = 0; r < kCellRows; ++r) base[r] = static_cast<float>(r % 5) - 2;
        for_each_simd_target([&] {
          Matrix<float> y(batch, kCellRows);
          for (size_t i = 0; i < y.size(); ++i) y.data()[i] = static_cast<float>(4 * (i / kCellRows));
          CellDots dots{k.data(), rows,          groups, most,    batch, x.data() + kCellColumns,
                        x.cols(), scales.data(), 1,      y.data()};
          cell_dots(dots, base.data(), sums.data(), 1);
          for (size_t b = 0; b < batch; ++b) {
            for (size_t r = 0; r < rows; ++r) {
              double dot = 0;
              for (size_t c = 0; c < groups * kGroupColumns; ++c) dot += k(r, c) * x(b, kCellColumns + c);
              ASSERT_EQ(y(b, r), double(4 * b) + scales[b] * (dot + base[r] * sums[b]));
            }
          }
          for (const size_t segment : {1, 2, 4, 8}) {
            if (segment > groups) continue;
            Matrix<float> factors(rows + 1, 9);
            for (size_t i = 0; i < factors.size(); ++i) factors.data()[i] = static_cast<float>(i % 2);
            for (size_t i = 0; i < y.size(); ++i) y.data()[i] = static_cast<float>(4 * (i / kCellRows));
            cell_dots_by_segment(dots, segment, factors.data(), factors.cols());
            for (size_t b = 0; b < batch; ++b) {
              for (size_t r = 0; r < rows; ++r) {
                double total = 0;
                for (size_t c = 0; c < groups * kGroupColumns; ++c) {
                  total += k(r, c) * x(b, kCellColumns + c) * factors(r, c / (segment * kGroupColumns));
                }
                ASSERT_EQ(y(b, r), double(4 * b) + scales[b] * total) << segment;
              }
            }
          }
        });
      }
    }
  }
}

std::vector<DotCase> dot_cases() {
  std::vector<DotCase> cases;
  for (unsigned bits = 1; bits <= 8; ++bits) cases.insert(cases.end(), {{bits, false}, {bits, true}});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Bits, DotTest, testing::ValuesIn(dot_cases()), [](const auto& test) {
  return std::to_string(test.param.bits) + (test.param.extreme ? "Extreme" : "Random");
});

TEST(Int8Kernels, ActivationsAreRoundedByBlocks) {
  const size_t n = 600;
  Matrix<float> x = normal_matrix(1, n, 1), factors = normal_matrix(1, n, 2);
  for (const bool scaled : {false, true}) {
    for_each_simd_target([&] {
      Matrix<int8_t> q(1, 768);
      std::vector<float> scales(3);
      std::vector<int32_t> sums(24);
      std::vector<Outlier> outliers;
      quantize_activations(x.data(), scaled ? factors.data() : nullptr, n, q.data(), scales.data(), sums.data(),
                           &outliers);
      EXPECT_EQ(outliers.empty(), !scaled);  // products of two normal numbers have longer tails
      std::vector<double> values(768);
      for (size_t c = 0; c < n; ++c) values[c] = double{x(0, c)} * (scaled ? double{factors(0, c)} : 1);
      for (const Outlier& o : outliers) {
        EXPECT_FLOAT_EQ(o.value, static_cast<float>(values[o.col]));
        values[o.col] = 0;
      }
      std::vector<int32_t> expected(24);
      std::vector<double> largest(3);
      for (size_t c = 0; c < 768; ++c) {
        ASSERT_NEAR(scales[c / 256] * q(0, c), values[c], 0.5001 * scales[c / 256]);
        expected[c / 32] += q(0, c);
        largest[c / 256] = std::max(largest[c / 256], std::fabs(values[c]));
      }
      EXPECT_EQ(sums, expected);
      for (size_t b = 0; b < 3; ++b) EXPECT_NEAR(scales[b], largest[b] / 127, 1e-6 * largest[b]);
    });
  }
}

TEST(Int8Kernels, OutliersAreSetAside) {
  Matrix<float> x = normal_matrix(1, 600, 1);
  x(0, 3) = 1000;
  x(0, 255) = -20;  // one once the larger is gone
  x(0, 590) = 1e6f;
  Matrix<int8_t> q(1, 768);
  std::vector<float> scales(3);
  std::vector<int32_t> sums(24);
  std::vector<Outlier> outliers;
  quantize_activations(x.data(), nullptr, 600, q.data(), scales.data(), sums.data(), &outliers);
  ASSERT_EQ(outliers.size(), 3u);
  const uint32_t cols[] = {3, 255, 590};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(outliers[i].col, cols[i]);
    EXPECT_EQ(outliers[i].value, x(0, cols[i]));
    EXPECT_EQ(q(0, cols[i]), 0);
  }
  for (const float scale : scales) EXPECT_LT(scale, 4.0 / 127);
}

TEST(Int8Kernels, ActivationsThatAreNotFiniteMarkTheirBlock) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    Matrix<float> x = normal_matrix(1, 512, 1);
    x(0, 99) = bad;
    for (size_t c = 256; c < 512; ++c) x(0, c) = c == 300 ? 1e-40f : 0;  // zeros, and what counts as zero
    for_each_simd_target([&] {
      Matrix<int8_t> q(1, 512);
      std::vector<float> scales(2);
      std::vector<int32_t> sums(16);
      std::vector<Outlier> outliers;
      quantize_activations(x.data(), nullptr, 512, q.data(), scales.data(), sums.data(), &outliers);
      EXPECT_TRUE(std::isnan(scales[0]));
      EXPECT_EQ(scales[1], 0);
      for (size_t c = 0; c < 512; ++c) EXPECT_EQ(q(0, c), 0);
    });
  }
}

}  // namespace
}  // namespace occ
