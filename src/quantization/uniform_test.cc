#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <limits>

#include "quantization/quantizer_for_test.h"
#include "quantization/scale_grid.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

// Reads the stored scales: the side information begins with them, in bf16.
std::vector<double> scales_of(const Quantizer& quantizer, size_t count) {
  const Bytes bytes = side_bytes(quantizer);
  ByteReader side(bytes, "test");
  const std::vector<float> scales = get_scales(count, side);
  return {scales.begin(), scales.end()};
}

TEST(Uniform, UniformDataGivesStepSquaredOver12) {
  Matrix<float> x(64, 4096);
  Rng rng(1);
  for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(2 * rng.uniform() - 1);
  for (const int bits : {2, 4, 8}) {
    for (const char* zero : {"symmetric", "asymmetric"}) {
      const QuantizerCase c{"uniform",
                            {{"bits", std::to_string(bits)}, {"per", "tensor"}, {"clip", "absmax"}, {"zero", zero}}};
      const auto quantizer = c.fit(x.view());
      const double step = scales_of(*quantizer, 1)[0];
      // Levels reach both ends of the range. An integer zero point can cost up to one code.
      const double least = 2 / (std::exp2(bits) - 1);
      EXPECT_GE(step, 0.9999 * least) << bits << zero;
      EXPECT_LE(step, std::string(zero) == "symmetric" ? 1.01 * least : 2 / (std::exp2(bits) - 2) * 1.01)
          << bits << zero;
      const Coded coded = quantize_whole(*quantizer, x.view());
      double mse = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        mse += std::pow(static_cast<double>(x.data()[i]) - static_cast<double>(coded.values.data()[i]), 2);
      }
      mse /= static_cast<double>(x.size());
      // With 2 bits and asymmetric levels, the cells at the ends are not used evenly.
      EXPECT_NEAR(mse / (step * step / 12), 1, bits == 2 ? 0.25 : 0.04) << bits << zero;
    }
  }
}

// The figures are those of methods.md, section 0, "uniform RTN, best clip".
TEST(Uniform, GaussianReachesTheBestClipTable) {
  const Matrix<float> x = normal_matrix(64, 4096, 2);
  const double table[] = {.3634, .1188, .0374, .01154};
  for (int bits = 1; bits <= 4; ++bits) {
    const double d = nmse_of({"uniform", {{"bits", std::to_string(bits)}, {"per", "tensor"}}}, x);
    EXPECT_NEAR(d / table[bits - 1], 1, 0.02) << bits;
  }
  const double per_row = nmse_of({"uniform", {}}, x);
  EXPECT_LE(per_row, 0.0118);
  EXPECT_GE(per_row, 0.0112);
  const double column = nmse_of({"uniform", {{"per", "column"}}}, normal_matrix(4096, 64, 3));
  EXPECT_LE(column, 0.0118);
  EXPECT_GE(column, 0.0112);
}

// Returns the squared error of one line at a scale, computed in double.
double error_at(const Matrix<float>& x, double scale, double max_code) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = static_cast<double>(x.data()[i]);
    const double q = std::clamp(std::nearbyint(v / scale + max_code / 2), 0.0, max_code);
    sum += std::pow(v - scale * (q - max_code / 2), 2);
  }
  return sum;
}

TEST(Uniform, ClipSearchIsCloseToTryingEveryScale) {
  for (const char* kind : {"normal", "cubed", "outlier", "sparse"}) {
    for (const int bits : {1, 2, 3, 4, 8}) {
      double found = 0, best = 0;
      for (uint64_t seed = 0; seed < 10; ++seed) {
        Matrix<float> x = normal_matrix(1, 600, seed);
        for (size_t i = 0; i < x.size(); ++i) {
          float& v = x.data()[i];
          if (std::string(kind) == "cubed") v = v * v * v;
          if (std::string(kind) == "sparse" && i % 10 != 0) v *= 1e-3f;
        }
        if (std::string(kind) == "outlier") x.data()[77] = 400;
        const QuantizerCase c{"uniform", {{"bits", std::to_string(bits)}}};
        const double max_code = std::exp2(bits) - 1;
        found += error_at(x, scales_of(*c.fit(x.view()), 1)[0], max_code);
        double least = std::numeric_limits<double>::infinity();
        for (int code = scale_code_down(1e-4); code < scale_code_up(1000); ++code) {
          least = std::min(least, error_at(x, static_cast<double>(scale_of(code)), max_code));
        }
        best += least;
      }
      EXPECT_LE(found, 1.02 * best) << kind << bits;
      EXPECT_GE(found, best * (1 - 1e-6)) << kind << bits;
    }
  }
}

TEST(Uniform, AbsmaxClipsNothing) {
  for (const char* zero : {"symmetric", "asymmetric"}) {
    for (const int bits : {1, 2, 4, 7, 12, 16}) {
      for (const double mean : {0.0, -7.0, 300.0}) {
        const Matrix<float> x = normal_matrix(40, 37, 9, 1, mean);
        const QuantizerCase c{"uniform", {{"bits", std::to_string(bits)}, {"clip", "absmax"}, {"zero", zero}}};
        const auto quantizer = c.fit(x.view());
        const Coded coded = quantize_whole(*quantizer, x.view());
        const std::vector<double> scales = scales_of(*quantizer, x.rows());
        for (size_t r = 0; r < x.rows(); ++r) {
          const double half = 0.5 * scales[r];
          for (size_t i = 0; i < x.cols(); ++i) {
            const double v = static_cast<double>(x(r, i));
            // x / scale + offset is rounded in f32.
            const double slack = 4e-7 * std::abs(v) + 1e-2 * half;
            ASSERT_LE(std::abs(v - static_cast<double>(coded.values(r, i))), half + slack) << zero << bits << mean;
          }
        }
      }
    }
  }
}

TEST(Uniform, ZeroPointsHelpWhereDataLieAside) {
  const Matrix<float> x = normal_matrix(8, 1024, 5, 1, 20);
  const double symmetric = nmse_of({"uniform", {{"bits", "6"}}}, x);
  const double asymmetric = nmse_of({"uniform", {{"bits", "6"}, {"zero", "asymmetric"}}}, x);
  EXPECT_LT(asymmetric, symmetric / 5);
  // The variance is 1 and the energy 401. With 64 levels over the range of 1,024 normal values, about 6.5, step^2 / 12
  // is .00089.
  EXPECT_GT(asymmetric * 401, .0007);
  EXPECT_LT(asymmetric * 401, .00104);  // error of the best clip at 6 bits on unlimited data
}

TEST(Uniform, HandlesTheEndsOfTheFloatRange) {
  const float values[] = {FLT_MAX, -FLT_MAX, 1e38f, -2e38f, 0.0f, 1.0f};
  Matrix<float> x(1, 6);
  std::copy(std::begin(values), std::end(values), x.data());
  for (const char* zero : {"symmetric", "asymmetric"}) {
    for (const char* clip : {"mse", "absmax"}) {
      EXPECT_LT(nmse_of({"uniform", {{"bits", "8"}, {"zero", zero}, {"clip", clip}}}, x), 1e-3) << zero << clip;
    }
  }
  Matrix<float> tiny = normal_matrix(1, 500, 6, 1e-39);
  EXPECT_LT(nmse_of({"uniform", {{"bits", "4"}}}, tiny), 0.02);
  Matrix<float> one(1, 1);
  one(0, 0) = -3.25f;
  EXPECT_LT(nmse_of({"uniform", {}}, one), 1e-5);
  Matrix<float> constant(1, 100);
  std::fill_n(constant.data(), 100, 5.5f);
  EXPECT_LT(nmse_of({"uniform", {{"zero", "asymmetric"}}}, constant), 1e-8);
}

TEST(Uniform, SideInformationIsAsDocumented) {
  Matrix<float> x(2, 4);
  const float rows[] = {0, 1, 2, 3, -4, -4, -2, -1};
  std::copy(std::begin(rows), std::end(rows), x.data());
  const QuantizerCase symmetric{"uniform", {{"bits", "1"}, {"clip", "absmax"}}};
  EXPECT_EQ(side_bytes(*symmetric.fit(x.view())), (Bytes{0xc0, 0x40, 0x00, 0x41}));  // scales 6 and 8
  // Both steps are 1, and the zero points are 0 and 4, which are stored as bytes.
  const QuantizerCase bytes{"uniform", {{"bits", "2"}, {"clip", "absmax"}, {"zero", "asymmetric"}}};
  EXPECT_EQ(side_bytes(*bytes.fit(x.view())), (Bytes{0x80, 0x3f, 0x80, 0x3f, 0x00, 0, 4}));
  for (size_t i = 0; i < 4; ++i) x(0, i) += 10;  // zero points are now -10 and 4, which are stored as int16
  EXPECT_EQ(side_bytes(*bytes.fit(x.view())), (Bytes{0x80, 0x3f, 0x80, 0x3f, 0x01, 0xf6, 0xff, 4, 0}));
}

TEST(Uniform, RejectsSideInformationThatMakesNoFiniteValues) {
  const QuantizerCase c{"uniform", {{"bits", "4"}}};
  for (const uint16_t bits : {0x7f80, 0x7fc0, 0x8000, 0xbf80, 0x7f7f}) {  // inf, nan, -0, -1, too large
    ByteWriter out;
    out.put(bits);
    ByteReader side(out.span(), "test");
    EXPECT_THROW(c.entry().load(c.params(), {1, 4}, side), Error) << bits;
  }
  ByteReader none({}, "test");
  EXPECT_THROW(c.entry().load(c.params(), {size_t{1} << 62, 4}, none), Error);
  const QuantizerCase grouped{"uniform", {{"group", "1"}}};
  EXPECT_THROW(grouped.entry().load(grouped.params(), {size_t{1} << 62, size_t{1} << 62}, none), Error);
}

TEST(Uniform, ParametersPrintCanonically) {
  EXPECT_EQ((QuantizerCase{"uniform", {{"group", "64"}, {"bits", "4"}}}.text()), "uniform(group=64)");
  EXPECT_EQ((QuantizerCase{"uniform", {{"per", "row"}}}.text()), "uniform");
  const Matrix<float> x = normal_matrix(2, 8);
  EXPECT_THROW((QuantizerCase{"uniform", {{"group", "4"}, {"per", "column"}}}.fit(x.view())), Error);
  EXPECT_THROW((QuantizerCase{"uniform", {{"bits", "17"}}}.fit(x.view())), Error);
}

TEST(ScaleGrid, CodesRoundAsTheySay) {
  Rng rng(1);
  for (int i = 0; i < 1000; ++i) {
    const double v = std::ldexp(1 + rng.uniform(), static_cast<int>(rng.below(250)) - 125);
    const int up = scale_code_up(v), down = scale_code_down(v), near = scale_code_near(v);
    EXPECT_GE(static_cast<double>(scale_of(up)), v);
    EXPECT_LT(static_cast<double>(scale_of(up - 1)), v);
    EXPECT_LE(static_cast<double>(scale_of(down)), v);
    EXPECT_GT(static_cast<double>(scale_of(down + 1)), v);
    EXPECT_TRUE(near == up || near == down);
  }
  EXPECT_EQ(scale_code_up(0), 0);
  EXPECT_EQ(scale_code_up(1e-300), 1);
  EXPECT_EQ(scale_code_down(1e-300), 0);
  EXPECT_EQ(scale_code_near(-1), 0);
  EXPECT_EQ(scale_code_up(1e300), kMaxScaleCode);
  EXPECT_EQ(scale_code_near(FLT_MAX), kMaxScaleCode);
  EXPECT_TRUE(std::isfinite(scale_of(kMaxScaleCode)));
}

}  // namespace
}  // namespace occ
