#include "model/experts.h"

#include <gtest/gtest.h>

#include <cmath>

namespace occ {
namespace {

Matrix<float> matrix_of(size_t cols, const std::vector<float>& values) {
  Matrix<float> m(values.size() / cols, cols);
  std::copy(values.begin(), values.end(), m.data());
  return m;
}

ModelConfig config_of(size_t experts, size_t used, bool normalized) {
  ModelConfig c;
  c.experts = experts;
  c.experts_used = used;
  c.normalized_experts = normalized;
  return c;
}

TEST(Experts, LikeliestAreChosen) {
  const float ln2 = std::log(2.0f);
  Matrix<float> logits = matrix_of(3, {0, 2 * ln2, ln2, /**/ ln2, 0, 0});  // p = 1/7 4/7 2/7, 1/2 1/4 1/4
  const Routes whole = route_tokens(config_of(3, 2, false), {}, logits.view());
  ASSERT_EQ(whole.size(), 3u);
  ASSERT_EQ(whole[0].size(), 1u);
  EXPECT_EQ(whole[0][0].token, 1u);
  EXPECT_FLOAT_EQ(whole[0][0].weight, 1.0f / 2);
  ASSERT_EQ(whole[1].size(), 2u) << "of equals the first";
  EXPECT_FLOAT_EQ(whole[1][0].weight, 4.0f / 7);
  EXPECT_FLOAT_EQ(whole[1][1].weight, 1.0f / 4);
  ASSERT_EQ(whole[2].size(), 1u);
  EXPECT_EQ(whole[2][0].token, 0u);
  EXPECT_FLOAT_EQ(whole[2][0].weight, 2.0f / 7);
  const Routes normalized = route_tokens(config_of(3, 2, true), {}, logits.view());
  EXPECT_FLOAT_EQ(normalized[1][0].weight, 2.0f / 3);
  EXPECT_FLOAT_EQ(normalized[2][0].weight, 1.0f / 3);
  const float bias[] = {10, 0, 0};
  EXPECT_EQ(route_tokens(config_of(3, 1, true), bias, logits.view())[0].size(), 2u);
  EXPECT_EQ(logits(0, 0), 10);
}

TEST(Experts, EveryTokenGetsAsManyAsItShould) {
  Matrix<float> logits = matrix_of(4, {NAN, NAN, NAN, NAN, /**/ INFINITY, 0, NAN, -INFINITY, /**/ 1e30f, 0, 0, 0});
  const Routes routes = route_tokens(config_of(4, 2, true), {}, logits.view());
  std::vector<size_t> count(3);
  for (const auto& routed : routes) {
    for (const Routed& r : routed) ++count[r.token];
  }
  EXPECT_EQ(count, (std::vector<size_t>{2, 2, 2}));
  EXPECT_FLOAT_EQ(routes[0].back().weight, 1) << "no overflow";
}

TEST(Experts, RowsComeBackWeighted) {
  const Matrix<float> x = matrix_of(2, {1, 2, 3, 4, 5, 6});
  const std::vector<Routed> routed = {{0, 0.5f}, {2, 2}};
  Matrix<float> rows(2, 2), y(3, 2);
  gather_routed(routed, x.view(), rows.view());
  EXPECT_EQ(rows(1, 0), 5);
  const float bias[] = {10, 0};
  add_routed(routed, rows.view(), bias, y.view());
  add_routed(routed, rows.view(), nullptr, y.view());
  EXPECT_EQ(y(0, 0), 6);
  EXPECT_EQ(y(1, 0), 0);
  EXPECT_EQ(y(2, 1), 24);
}

}  // namespace
}  // namespace occ
