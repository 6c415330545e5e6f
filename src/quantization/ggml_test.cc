// The blocks of `ggml`: packed, they decode to the same floats with the reader of GGUF files, which is compared with the
// gguf package (io/gguf_blocks_test.cc); scales are as good as a search over many.
#include "quantization/ggml.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/gguf_blocks.h"
#include "quantization/ggml_scales.h"
#include "quantization/ggml_types.h"
#include "quantization/quantizer_for_test.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

class GgmlTypeTest : public testing::TestWithParam<std::string> {
 protected:
  QuantizerCase code() const { return {"ggml", {{"type", GetParam()}}}; }
};

TEST_P(GgmlTypeTest, BlocksDecodeToTheValues) {
  const GgufType* type = find_gguf_type(std::string_view(GetParam()));
  ASSERT_NE(type, nullptr);
  ASSERT_EQ(type->block_bytes, ggml_type(GetParam()).bytes);
  for (const float shift : {0.0f, 0.7f, -3.0f}) {
    Matrix<float> x = normal_matrix(7, 512, 5);
    for (size_t i = 0; i < x.size(); ++i) x.data()[i] = x.data()[i] * std::exp2(static_cast<float>(i / 64 % 5)) + shift;
    const auto quantizer = code().fit(x.view());
    const Coded coded = quantize_whole(*quantizer, x.view());
    Bytes blocks(7 * 512 / type->block_elements * type->block_bytes);
    const size_t row_bytes = blocks.size() / 7;
    pack_ggml_rows(*quantizer, 0, coded.symbols[0].view().row_range(0, 3), blocks.data());
    pack_ggml_rows(*quantizer, 3, coded.symbols[0].view().row_range(3, 4), blocks.data() + 3 * row_bytes);
    Matrix<float> decoded(7, 512);
    type->dequantize(blocks.data(), x.size() / type->block_elements, decoded.data());
    for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(decoded.data()[i], coded.values.data()[i]) << i;
  }
}

// The error of a sub-block with the best of many scales and offsets.
double best_error(const GgmlType& type, std::span<const float> x) {
  const float least = ggml_level(type, 0), most = ggml_level(type, static_cast<uint16_t>(type.alphabet() - 1));
  float largest = 0;
  for (const float v : x) largest = std::max(largest, std::abs(v));
  double best = 1e30;
  const int offset_steps = type.offsets ? 60 : 1;
  for (int i = 1; i <= 120; ++i) {
    for (int j = 0; j < offset_steps; ++j) {
      const float offset = type.offsets ? largest * static_cast<float>(j) / 55 : 0;
      const float scale = 1.4f * (largest + offset) / std::max(most, -least) * static_cast<float>(i) / 120;
      for (const float s : {scale, -scale}) {
        if (type.offsets && s < 0) continue;
        double error = 0;
        for (const float v : x) {
          const double d = v - (ggml_level(type, ggml_code(type, (v + offset) / s)) * s - offset);
          error += d * d;
        }
        best = std::min(best, error);
      }
    }
  }
  return best;
}

TEST_P(GgmlTypeTest, ScalesAreNearlyTheBestOfMany) {
  const GgmlType& type = ggml_type(GetParam());
  const Matrix<float> x = normal_matrix(2, 512, 9);
  const Coded coded = quantize_whole(*code().fit(x.view()), x.view());
  double error = 0, best = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double d = static_cast<double>(x.data()[i]) - static_cast<double>(coded.values.data()[i]);
    error += d * d;
  }
  for (size_t i = 0; i < x.size(); i += type.sub) best += best_error(type, {x.data() + i, type.sub});
  // Integers of few bits for the scales cost more.
  EXPECT_LT(error, (type.has_integers() ? type.most_scale < 16 ? 1.35 : 1.12 : 1.05) * best);
  EXPECT_GT(error, 0.8 * best);
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const GgmlType& t : ggml_types()) all.emplace_back(t.name);
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, GgmlTypeTest, testing::ValuesIn(names()));

// Programs that store scales as bf16 get them unchanged, whatever the group.
TEST(GgmlGroups, HaveScalesThatBf16Holds) {
  const Matrix<float> x = normal_matrix(9, 256, 3);
  for (const char* group : {"32", "64", "128"}) {
    const auto quantizer = QuantizerCase{"ggml", {{"type", "Q4_0"}, {"group", group}}}.fit(x.view());
    const std::span<const float> scales = ggml_scales(*quantizer);
    ASSERT_FALSE(scales.empty());
    for (const float s : scales) ASSERT_EQ(bf16_to_f32(f32_to_bf16(s)), s) << group;
  }
}

TEST(GgmlScale, WeightsDecide) {
  std::vector<float> x(32, 0.0f);
  for (size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(static_cast<int>(i % 9) - 4) * 0.25f;
  x[31] = 50;
  std::vector<double> weights(32, 1.0);
  const GgmlType& type = ggml_type("Q4_0");
  EXPECT_GT(std::abs(fit_ggml_scale(type, x, weights).scale), 3);
  weights[31] = 0;  // what does not count may be clipped
  EXPECT_NEAR(std::abs(fit_ggml_scale(type, std::span(x).first(31), std::span(weights).first(31)).scale), 0.125, 0.13);
}

TEST(GgmlCode, NearestLevel) {
  for (const GgmlType& type : ggml_types()) {
    const uint32_t n = type.alphabet();
    for (float v = -140; v < 140; v += 0.37f) {
      const float error = std::abs(ggml_level(type, ggml_code(type, v)) - v);
      for (uint32_t q = 0; q < n; ++q) {
        ASSERT_LE(error, std::abs(ggml_level(type, static_cast<uint16_t>(q)) - v)) << type.name << " " << v;
      }
    }
  }
}

}  // namespace
}  // namespace occ
