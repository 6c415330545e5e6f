// Checks that the interface of quantizers allows error feedback: columns are coded from last to first, in blocks of the
// quantizer's granule, and each block includes the errors of the blocks coded before it (GPTQ, arXiv 2210.17323; LDLQ,
// 2307.13304). Uses a plain loop and a plain Cholesky factor, and a toy quantizer with a granule of eight columns and
// two symbol planes.
#include <gtest/gtest.h>

#include "quantization/feedback_for_test.h"

namespace occ {
namespace {

void expect_feedback_helps(const Quantizer& quantizer, const Matrix<float>& w, double at_most) {
  const Square h = random_hessian(w.cols(), 3);
  const Coded plain = quantize_whole(quantizer, w.view());
  const Coded feedback = code_with_feedback(quantizer, w, h);
  // Symbols must decode to the values that the loop saw, in whatever order they were coded.
  EXPECT_TRUE(same_floats(feedback.values.view(), dequantize_whole(quantizer, feedback).view()));
  const double ratio = weighted_error(w, feedback.values, h) / weighted_error(w, plain.values, h);
  EXPECT_LT(ratio, at_most);
  EXPECT_GT(ratio, 0.05);
}

TEST(Feedback, LowersTheWeightedErrorOfColumnsOneByOne) {
  const Matrix<float> w = normal_matrix(64, 75, 1);
  for (const QuantizerCase& c : {QuantizerCase{"uniform", {{"bits", "3"}}}, QuantizerCase{"uniform", {{"group", "32"}}},
                                 QuantizerCase{"lloyd", {}}}) {
    SCOPED_TRACE(c.text());
    expect_feedback_helps(*c.fit(w.view()), w, 0.6);
  }
}

TEST(Feedback, CarriesBlocksOfEightColumnsAndTwoPlanes) {
  const Matrix<float> w = normal_matrix(64, 75, 2);  // the last block has three columns
  expect_feedback_helps(BlockFloat(w.shape()), w, 0.9);
  expect_feedback_helps(*QuantizerCase{"kashin", {{"block", "16"}, {"u", "2"}, {"v", "1"}}}.fit(w.view()), w, 0.98);
}

}  // namespace
}  // namespace occ
