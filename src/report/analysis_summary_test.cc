#include "report/analysis_summary.h"

#include <gtest/gtest.h>

namespace occ {
namespace {

TEST(AnalysisSummary, MeansWeighTensorsByTheirSize) {
  TensorAnalysis a, b;
  a.elements = 100;
  a.systems.resize(2);
  a.systems[0].name = "identity", a.systems[0].bits = 3, a.systems[0].kurtosis = 3;
  a.systems[1].name = "dct", a.systems[1].bits = 2.5, a.systems[1].side_bits = 0.5;
  a.best = 1;
  a.gain = 0.5;
  b.elements = 300;
  b.systems.resize(2);
  b.systems[0].name = "identity", b.systems[0].bits = 4, b.systems[0].kurtosis = 7;
  b.systems[1].name = "dct", b.systems[1].side_bits = 5;  // not coded
  const std::vector<TensorAnalysis> both = {a, b};
  const AnalysisSummary s = summarize(both);
  EXPECT_EQ(s.tensors, 2u);
  EXPECT_EQ(s.elements, 400u);
  EXPECT_DOUBLE_EQ(s.identity_bits, 3.75);
  EXPECT_DOUBLE_EQ(s.gain, 0.125);
  EXPECT_EQ(s.winners(), "identity 1, dct 1");
  ASSERT_EQ(s.systems.size(), 2u);
  EXPECT_DOUBLE_EQ(s.systems[0].kurtosis, 6);
  EXPECT_DOUBLE_EQ(*s.systems[0].saved_bits, 0);
  EXPECT_EQ(s.systems[1].tensors, 2u);
  EXPECT_EQ(s.systems[1].coded, 1u);
  EXPECT_DOUBLE_EQ(*s.systems[1].saved_bits, 0.5);
  EXPECT_DOUBLE_EQ(s.systems[1].side_bits, 3.875);
  const std::vector<size_t> second = {1};
  EXPECT_FALSE(summarize(both, second).systems[1].saved_bits);
}

}  // namespace
}  // namespace occ
