#include "compress/row_scales.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "compress/encode.h"
#include "container/blob.h"
#include "io/expect_error_for_test.h"
#include "recipe/bound.h"

namespace occ {
namespace {

Matrix<float> decoded_for_test(const Recipe& recipe, Shape shape, const Bytes& blob) {
  PlaneReader planes(unpack_blob(blob, "test"), "test");
  Matrix<float> out = Matrix<float>::uninitialized(shape.rows, shape.cols);
  load_recipe(recipe, shape, planes)->dequantize({0, 0, shape.rows, shape.cols}, out.view());
  return out;
}

TEST(RowScales, OutermostRowscaleOnly) {
  EXPECT_TRUE(has_row_scales(Recipe::parse("rowscale > trellis > rans")));
  EXPECT_TRUE(has_row_scales(Recipe::parse("rowscale(by=weight) > hadamard > uniform > rans")));
  EXPECT_FALSE(has_row_scales(Recipe::parse("trellis > rans")));
  EXPECT_FALSE(has_row_scales(Recipe::parse("hadamard > rowscale > trellis > rans")));
  EXPECT_FALSE(has_row_scales(Recipe::parse("rowscale > uniform > rans + uniform > rans")));
}

TEST(RowScales, RowsAreScaledAndNothingElse) {
  const Shape shape{37, 64};
  Matrix<float> w(shape.rows, shape.cols);
  Rng rng(3);
  for (size_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(rng.normal());
  for (size_t c = 0; c < shape.cols; ++c) w(5, c) = 0;  // a row of zeros, whose scale is 0
  for (const char* text : {"rowscale > trellis(step=0.4) > rans", "rowscale > hadamard > uniform(bits=4) > bitpack"}) {
    SCOPED_TRACE(text);
    const Recipe recipe = Recipe::parse(text);
    FitContext ctx;
    const EncodedMatrix coded = encode_matrix(recipe, MatrixSource(w.view()), ctx, "test");
    std::vector<float> factors(shape.rows);
    for (size_t r = 0; r < shape.rows; ++r) factors[r] = r == 0 ? 1 : r == 1 ? 2 : 1.2f - 0.01f * static_cast<float>(r);
    const Bytes scaled = with_scaled_rows(recipe, coded.blob, factors, "test");
    EXPECT_LE(scaled.size(), coded.blob.size());
    const Matrix<float> before = decoded_for_test(recipe, shape, coded.blob);
    const Matrix<float> after = decoded_for_test(recipe, shape, scaled);
    for (size_t r = 0; r < shape.rows; ++r) {
      const float tolerance = r < 2 ? 0 : 0x1p-8f;  // precision of scales in bf16
      for (size_t c = 0; c < shape.cols; ++c) {
        ASSERT_NEAR(after(r, c), factors[r] * before(r, c), tolerance * std::abs(after(r, c))) << r << " " << c;
      }
    }
    const Measured m = measure(MatrixSource(w.view()), before.view());
    EXPECT_EQ(m.decoded_hash, coded.decoded_hash);
    EXPECT_DOUBLE_EQ(m.distortion.nmse(), coded.distortion.nmse());
    EXPECT_NE(measure(MatrixSource(w.view()), after.view()).decoded_hash, coded.decoded_hash);
    EXPECT_INPUT_ERROR(with_scaled_rows(recipe, coded.blob, std::span(factors).first(36), "t"), "expected the end");
    factors.push_back(1);
    EXPECT_INPUT_ERROR(with_scaled_rows(recipe, coded.blob, factors, "t"), "expected 38 scales");
  }
}

// These factors would make the coded scales longer. Only the smallest changes are made, so that the blob does not grow.
TEST(RowScales, CodedScalesTakeNoMoreBytesThanBefore) {
  const Shape shape{400, 16};
  Matrix<float> w(shape.rows, shape.cols);
  Rng rng(4);
  for (size_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(rng.normal());
  const Recipe recipe = Recipe::parse("rowscale(steps=16) > trellis(step=0.4) > rans");
  const EncodedMatrix coded = encode_matrix(recipe, MatrixSource(w.view()), FitContext(), "test");
  std::vector<float> factors(shape.rows);
  for (float& f : factors) f = static_cast<float>(std::exp(rng.normal()));
  const Bytes scaled = with_scaled_rows(recipe, coded.blob, factors, "test");
  EXPECT_LE(scaled.size(), coded.blob.size());
  const Matrix<float> before = decoded_for_test(recipe, shape, coded.blob);
  const Matrix<float> after = decoded_for_test(recipe, shape, scaled);
  size_t changed = 0;
  for (size_t r = 0; r < shape.rows; ++r) {
    const float ratio = after(r, 0) / before(r, 0);
    if (std::isnan(ratio) || ratio == 1) continue;
    ++changed;
    EXPECT_NEAR(std::log2(ratio), std::log2(factors[r]), 1.01 / 32) << r;
  }
  EXPECT_GT(changed, 0u);
  EXPECT_LT(changed, shape.rows);
}

}  // namespace
}  // namespace occ
