// Compares nearest points with all their neighbours, and checks the second moment of the lattice and the rate of the
// symbols.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "entropy/coder.h"
#include "quantization/quantizer_for_test.h"

namespace occ {
namespace {

bool is_point(const float* p, float step) {
  double sum = 0, first = double(p[0] / step);
  const bool half = std::abs(first - std::nearbyint(first)) > 0.25;
  for (size_t i = 0; i < 8; ++i) {
    const double k = double(p[i] / step) - (half ? 0.5 : 0);
    if (std::abs(k - std::nearbyint(k)) > 1e-3) return false;
    sum += std::nearbyint(k) + (half ? 0.5 : 0);
  }
  return std::abs(std::remainder(sum, 2)) < 1e-3;
}

float step_of(const Quantizer& quantizer) {
  float step;
  const Bytes side = side_bytes(quantizer);
  std::memcpy(&step, side.data(), sizeof(step));
  return step;
}

TEST(E8, FindsNearestPoints) {
  const Matrix<float> x = normal_matrix(400, 8, 2);
  const QuantizerCase tested{"e8", {{"step", "0.7"}}};
  // A loaded quantizer searches lattice points for the stored step.
  const Bytes side = side_bytes(*tested.fit(x.view()));
  ByteReader reader(side, "test");
  const auto quantizer = tested.entry().load(tested.params(), x.shape(), reader);
  const float step = step_of(*quantizer);
  const Coded coded = quantize_whole(*quantizer, x.view());
  // The Voronoi-relevant vectors of E8 are its 240 shortest vectors. None of these neighbours of a point may be nearer.
  std::vector<std::vector<double>> roots;
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < i; ++j) {
      for (int signs = 0; signs < 4; ++signs) {
        std::vector<double> v(8);
        v[size_t(i)] = signs & 1 ? 1 : -1;
        v[size_t(j)] = signs & 2 ? 1 : -1;
        roots.push_back(v);
      }
    }
  }
  for (int bits = 0; bits < 256; ++bits) {
    if (__builtin_popcount(unsigned(bits)) % 2) continue;
    std::vector<double> v(8);
    for (int i = 0; i < 8; ++i) v[size_t(i)] = bits >> i & 1 ? 0.5 : -0.5;
    roots.push_back(v);
  }
  ASSERT_EQ(roots.size(), 240u);
  double error = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    ASSERT_TRUE(is_point(coded.values.row(r), step)) << r;
    double distance = 0;
    for (size_t i = 0; i < 8; ++i) distance += std::pow(double(x(r, i) - coded.values(r, i)), 2);
    error += distance;
    for (const std::vector<double>& root : roots) {
      double other = 0;
      for (size_t i = 0; i < 8; ++i) {
        other += std::pow(double(x(r, i) - coded.values(r, i)) - root[i] * double(step), 2);
      }
      ASSERT_GE(other, distance - 1e-6);
    }
  }
  // Second moment of E8: Conway & Sloane 1999, p. 61.
  EXPECT_NEAR(error / 3200 / double(step * step), 929.0 / 12960, 0.002);
}

// Independent prototypes measured an nmse of .0766 at 2 bits and .01913 at 3 bits.
TEST(E8, HasTheRateOfTheLattice) {
  const Matrix<float> x = normal_matrix(512, 2048, 4);
  for (const auto& [step, bits, distortion] : {std::tuple{"1.033", 2.0, 0.0766}, {"0.5166", 3.0, 0.01913}}) {
    const auto quantizer = QuantizerCase{"e8", {{"step", step}}}.fit(x.view());
    const Coded coded = quantize_whole(*quantizer, x.view());
    const double nmse = nmse_oracle(x.view(), coded.values.view());
    // Computes the entropy of the symbols given the context of the state machine.
    const SymbolPlane plane = quantizer->planes()[0];
    std::map<std::pair<int, int>, double> count;
    std::map<int, double> of_context;
    for (size_t r = 0; r < plane.rows; ++r) {
      uint32_t state = 0;
      for (size_t c = 0; c < plane.cols; ++c) {
        const int symbol = coded.symbols[0](r, c), context = plane.contexts->context[state];
        ++count[{context, symbol}];
        ++of_context[context];
        state = plane.contexts->next[state * 2 + uint32_t(symbol & 1)];
      }
      ASSERT_EQ(state, 0u);
    }
    double entropy = 0;
    for (const auto& [key, n] : count) entropy -= n * std::log2(n / of_context[key.first]);
    const double rate = entropy / double(x.size());
    EXPECT_NEAR(nmse * std::exp2(2 * (rate - bits)), distortion, 0.01 * distortion) << rate;
  }
}

}  // namespace
}  // namespace occ
