// The interface carries error feedback: columns are coded from last to first, in blocks of the quantizer's granule,
// each with the errors of those already coded added in (GPTQ, arXiv 2210.17323; LDLQ, 2307.13304). A plain loop over a
// plain Cholesky factor; and a toy quantizer whose unit is eight columns and which has two symbol planes.
#include <gtest/gtest.h>

#include "quantization/feedback_for_test.h"

namespace occ {
namespace {

void expect_feedback_helps(const Quantizer& quantizer, const Matrix<float>& w, double at_most) {
  const Square h = random_hessian(w.cols(), 3);
  const Coded plain = quantize_whole(quantizer, w.view());
  const Coded feedback = code_with_feedback(quantizer, w, h);
  // Whatever the order of coding, symbols decode to what the loop saw.
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
