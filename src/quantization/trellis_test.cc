#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <queue>

#include "metrics/limits.h"
#include "quantization/quantizer_for_test.h"
#include "quantization/trellis_kernels.h"
#include "quantization/trellis_rates.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

constexpr uint32_t kStates[] = {4, 8, 16, 32, 64, 128, 256};

// Returns the squared free distance of a code, in units of the spacing of k: the least sum of squared distances between
// two paths that separate in one state and meet again. Values k = m mod 4 and k = m' mod 4 are 0, 1 or 2 apart; two
// different values on the same branch (parallel transitions) are 4 apart.
int free_distance(const TrellisCode& code) {
  const auto distance = [](uint32_t m, uint32_t n) { return m == n ? 0 : (m ^ n) == 2 ? 4 : 1; };
  using Pair = std::pair<uint32_t, uint32_t>;
  std::map<Pair, int> best;
  std::priority_queue<std::pair<int, Pair>, std::vector<std::pair<int, Pair>>, std::greater<>> open;
  const auto reach = [&](Pair p, int d) {
    const auto [it, is_new] = best.try_emplace(p, d);
    if (!is_new && it->second <= d) return;
    it->second = d;
    open.push({d, p});
  };
  for (uint32_t s = 0; s < code.states; ++s) reach({code.next(s, 0), code.next(s, 1)}, 4);
  while (!open.empty()) {
    const auto [d, p] = open.top();
    open.pop();
    if (d > best.at(p)) continue;
    if (p.first == p.second) return std::min(d, 16);
    for (uint32_t b = 0; b < 2; ++b) {
      for (uint32_t c = 0; c < 2; ++c) {
        reach({code.next(p.first, b), code.next(p.second, c)},
              d + distance((p.first & 1) + 2 * b, (p.second & 1) + 2 * c));
      }
    }
  }
  return 0;
}

TEST(TrellisCode, HasTheFreeDistancesOfUngerboecksTable) {
  const int expected[] = {9, 10, 11, 13, 14, 16, 16};
  for (size_t i = 0; i < std::size(kStates); ++i) {
    EXPECT_EQ(free_distance(trellis_code(kStates[i])), expected[i]) << kStates[i];
  }
}

TEST(TrellisCode, PredecessorsAreThoseOfTheMachine) {
  for (const uint32_t states : kStates) {
    const TrellisCode code = trellis_code(states);
    const auto machine = trellis_machine(code);
    for (uint32_t s = 0; s < states; ++s) {
      EXPECT_EQ(machine->context[s], s & 1);
      for (uint32_t b = 0; b < 2; ++b) {
        const uint32_t n = machine->next[2 * s + b];
        EXPECT_EQ(n >= states / 2, (s & 1) != 0);
        EXPECT_EQ(code.previous(n, b), s);
      }
    }
  }
}

struct Walk {
  std::vector<int> k;
  double cost = 0;
};

// Finds the best path by definition, in double: every k within reach of x that the state permits is tried.
Walk best_walk(const TrellisCode& code, const std::vector<float>& x, const float* bits, double lambda) {
  struct Step {
    uint32_t from;
    int k;
  };
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<double> cost(code.states, kNever);
  cost[0] = 0;
  std::vector<std::vector<Step>> steps;
  for (const float v : x) {
    std::vector<double> next(code.states, kNever);
    std::vector<Step> step(code.states);
    for (uint32_t s = 0; s < code.states; ++s) {
      if (cost[s] == kNever) continue;
      for (int k = static_cast<int>(std::floor(v)) - 9; k <= std::floor(v) + 10; ++k) {
        if ((k & 1) != static_cast<int>(s & 1)) continue;
        const double c = cost[s] + (v - k) * (v - k) + lambda * bits[k];
        const uint32_t n = code.next(s, static_cast<uint32_t>((k - static_cast<int>(s & 1)) / 2) & 1);
        if (c < next[n]) next[n] = c, step[n] = {s, k};
      }
    }
    cost = next;
    steps.push_back(step);
  }
  Walk walk;
  auto state = static_cast<uint32_t>(std::min_element(cost.begin(), cost.end()) - cost.begin());
  walk.cost = cost[state];
  walk.k.resize(x.size());
  for (size_t t = x.size(); t-- > 0;) {
    walk.k[t] = steps[t][state].k;
    state = steps[t][state].from;
  }
  return walk;
}

// Codes `count` copies of the segment at the same time.
std::vector<float> viterbi(const TrellisCode& code, std::vector<float> x, const TrellisRates& rates, int cls,
                           size_t count) {
  const size_t n = x.size();
  std::vector<int32_t> offsets(n, TrellisRates::offset(cls)), entry(n), k0(n);
  std::vector<float> error(n);
  std::vector<uint8_t> decisions[kTrellisAtOnce];
  std::vector<float> out[kTrellisAtOnce];
  TrellisSegment segments[kTrellisAtOnce];
  const TrellisBranches branches{error.data(), entry.data(), k0.data()};
  trellis_branches(x.data(), n, rates.shrink(cls), offsets.data(), branches);
  for (size_t i = 0; i < count; ++i) {
    decisions[i].resize(trellis_decision_bytes(code.states, n));
    out[i].assign(n, 0.0f);
    segments[i] = {branches, decisions[i].data(), out[i].data()};
  }
  trellis_viterbi(code, n, rates.table(), rates.lambda(), segments, count);
  for (size_t i = 1; i < count; ++i) EXPECT_EQ(out[i], out[0]);
  return out[0];
}

TEST(TrellisKernels, WalkIsNearlyTheBestAndTheSameOnEveryTarget) {
  const TrellisRates rates(0.5);
  for (const uint32_t states : kStates) {
    const TrellisCode code = trellis_code(states);
    for (const size_t n : {1, 2, 5, 63, 64, 65, 300}) {
      for (const double scale : {0.4, 2.0, 20.0}) {
        SCOPED_TRACE(fmt::format("{} states, {} values, scale {}", states, n, scale));
        const Matrix<float> values = normal_matrix(1, n, n, scale);
        const std::vector<float> x(values.data(), values.data() + n);
        const int cls = TrellisRates::class_of(scale);
        const Walk best = best_walk(code, x, rates.table() + TrellisRates::offset(cls), rates.lambda());
        std::vector<float> first;
        for_each_simd_target([&] {
          const std::vector<float> walk = viterbi(code, x, rates, cls, 1);
          for (size_t count = 2; count <= kTrellisAtOnce; ++count) EXPECT_EQ(viterbi(code, x, rates, cls, count), walk);
          if (first.empty()) first = walk;
          EXPECT_EQ(walk, first);
        });
        // The result must be a path of the machine. Its cost is that of the best path, except for what trying only four
        // integers can lose.
        double cost = 0;
        uint32_t state = 0;
        for (size_t t = 0; t < n; ++t) {
          const int k = static_cast<int>(first[t]);
          ASSERT_EQ(k & 1, static_cast<int>(state & 1));
          cost += (x[t] - k) * (x[t] - k) + rates.lambda() * rates.table()[TrellisRates::offset(cls) + k];
          state = code.next(state, static_cast<uint32_t>(k >> 1) & 1);
        }
        EXPECT_GE(cost, best.cost - 1e-3);
        EXPECT_LE(cost, best.cost * 1.01 + 0.2);
      }
    }
  }
}

TEST(TrellisKernels, DecodingIsTheSameOnEveryTarget) {
  for (const uint32_t states : {4u, 8u, 256u}) {
    const TrellisCode code = trellis_code(states);
    for (const size_t cols : {1, 3, 8, 17, 40}) {
      Matrix<Symbol> symbols(13, cols);
      Rng rng(cols);
      for (size_t i = 0; i < symbols.size(); ++i) symbols.data()[i] = static_cast<Symbol>(rng.next());
      std::vector<float> factors(cols);
      for (float& f : factors) f = static_cast<float>(rng.uniform());
      for_each_simd_target([&] {
        Matrix<float> out(13, cols);
        Matrix<int32_t> integers(13, cols);
        trellis_dequantize(code, symbols.view(), factors.data(), out.view());
        trellis_integers(code, symbols.view(), integers.view());
        for (size_t c = 0; c < cols; ++c) {
          uint32_t state = 0;
          for (size_t r = 0; r < 13; ++r) {
            const int k = 2 * (int{symbols(r, c)} - 32768) + static_cast<int>(state & 1);
            EXPECT_EQ(integers(r, c), k);
            EXPECT_EQ(out(r, c), static_cast<float>(k) * factors[c]);
            state = code.next(state, symbols(r, c) & 1u);
          }
        }
      });
    }
  }
}

// Returns the bits per symbol given its context. This is what a coder with one table per context needs.
double conditional_entropy(const Quantizer& quantizer, const Coded& coded) {
  const SymbolPlane plane = quantizer.planes()[0];
  const FiniteState& m = *plane.contexts;
  std::map<Symbol, double> counts[2];
  double totals[2] = {};
  for (size_t c = 0; c < plane.cols; ++c) {
    uint32_t state = 0;
    for (size_t r = 0; r < plane.rows; ++r) {
      if (r % tile_rows(plane) == 0) state = 0;
      const Symbol s = coded.symbols[0](r, c);
      ++counts[m.context[state]][s];
      ++totals[m.context[state]];
      state = m.next[state * 2 + (s & 1u)];
    }
  }
  double bits = 0;
  for (size_t u = 0; u < 2; ++u) {
    for (const auto& [symbol, n] : counts[u]) bits -= n * std::log2(n / totals[u]);
  }
  return bits / (totals[0] + totals[1]);
}

struct Point {
  double rate = 0, nmse = 0;
};
Point measure(const Matrix<float>& x, const char* states, const char* step) {
  const QuantizerCase trellis{"trellis", {{"states", states}, {"step", step}}};
  const auto quantizer = trellis.fit(x.view());
  const Coded coded = quantize_whole(*quantizer, x.view());
  return {conditional_entropy(*quantizer, coded), nmse_oracle(x.view(), coded.values.view())};
}

TEST(Trellis, ReachesThePublishedGapsOnGaussians) {
  // Published gaps of ECTCQ in dB: 0.54, 0.45, 0.385, 0.323, 0.279, 0.21, 0.175 with 4 to 256 states, the same at all
  // rates. Restarts every 1,024 rows cost up to 0.04 dB (with 256 states).
  const Matrix<float> x = normal_matrix(1024, 256, 5);
  const double published[] = {0.54, 0.45, 0.385, 0.323, 0.279, 0.21, 0.175};
  for (size_t i = 0; i < std::size(kStates); ++i) {
    const Point p = measure(x, std::to_string(kStates[i]).c_str(), "0.5");
    EXPECT_NEAR(p.rate, 1.99, 0.02);
    EXPECT_NEAR(gaussian_gap(p.rate, p.nmse).gap_db, published[i] + 0.03, 0.045) << kStates[i];
  }
  for (const char* step : {"0.125", "0.25", "0.7", "0.9"}) {
    const Point p = measure(x, "8", step);
    EXPECT_NEAR(gaussian_gap(p.rate, p.nmse).gap_db, 0.46, 0.04) << step;
  }
}

TEST(Trellis, LearnsDistributionsThatAreNotGaussian) {
  Matrix<float> laplace(1024, 128);
  Rng rng(3);
  for (size_t i = 0; i < laplace.size(); ++i) {
    laplace.data()[i] = static_cast<float>((rng.next() & 1 ? 1 : -1) * std::log(1 - rng.uniform()));
  }
  const Point p = measure(laplace, "8", "0.45");
  // Shannon's lower bound is 0.62 dB below the Gaussian limit, and a trellis of 8 states is 0.45 dB above its own
  // limit.
  EXPECT_LT(gaussian_gap(p.rate, p.nmse).gap_db, -0.08);
  EXPECT_GT(gaussian_gap(p.rate, p.nmse).gap_db, -0.4);
}

TEST(Trellis, LearnsFromAllTiles) {
  // There are eight tiles, and the first one has only signs. What the encoder learns from it must not make the normal
  // values of the others more expensive.
  const Matrix<float> normal = normal_matrix(8192, 256, 9);
  Matrix<float> mixed = normal_matrix(8192, 256, 9);
  for (size_t r = 0; r < 1024; ++r) {
    for (size_t c = 0; c < mixed.cols(); ++c) mixed(r, c) = mixed(r, c) < 0 ? -1.0F : 1.0F;
  }
  const QuantizerCase trellis{"trellis", {{"step", "0.5"}}};
  const auto error = [&](const Matrix<float>& x) {
    const Coded coded = quantize_whole(*trellis.fit(x.view()), x.view());
    double sum = 0;
    for (size_t r = 1024; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) sum += std::pow(double{x(r, c)} - double{coded.values(r, c)}, 2);
    }
    return sum;
  };
  EXPECT_NEAR(error(mixed) / error(normal), 1, 0.05);
}

TEST(Trellis, SpendsItsBitsOnTheRowsThatNeedThem) {
  // Half of the rows are four times larger. With one step both halves have the same error, and the penalties suit both.
  Matrix<float> x = normal_matrix(1024, 128, 7);
  for (size_t r = 0; r < x.rows(); r += 2) {
    for (size_t c = 0; c < x.cols(); ++c) x(r, c) *= 4;
  }
  const QuantizerCase trellis{"trellis", {{"step", "0.2"}}};
  const Coded coded = quantize_whole(*trellis.fit(x.view()), x.view());
  double errors[2] = {};
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) errors[r % 2] += std::pow(double{x(r, c)} - double{coded.values(r, c)}, 2);
  }
  EXPECT_NEAR(errors[0] / errors[1], 1.0, 0.1);
}

TEST(Trellis, FineStepsLoseNothingAndClipNothing) {
  const Matrix<float> x = normal_matrix(400, 300, 3);
  for (const char* step : {"0.01", "0.002", "0.0005", "0.00025"}) {
    const QuantizerCase trellis{"trellis", {{"step", step}}};
    const Coded coded = quantize_whole(*trellis.fit(x.view()), x.view());
    const double s = std::stod(step);
    EXPECT_NEAR(nmse_oracle(x.view(), coded.values.view()) / (s * s), 0.27, 0.03) << step;
  }
  // A step so fine that 17 bits cannot hold the largest value is raised, and that is reported.
  Matrix<float> spike = normal_matrix(400, 300, 3);
  spike(17, 5) = 1000;
  double last = 1;
  for (const char* step : {"0.1", "0.001", "0.000001"}) {
    std::vector<std::string> fallbacks;
    FitContext ctx;
    ctx.fallbacks = &fallbacks;
    const QuantizerCase trellis{"trellis", {{"step", step}}};
    const auto quantizer = quantizer_fit(trellis.entry())(trellis.params(), spike.view(), ctx);
    const double nmse = nmse_oracle(spike.view(), quantize_whole(*quantizer, spike.view()).values.view());
    EXPECT_LE(nmse, last);
    EXPECT_EQ(fallbacks.size(), std::stod(step) < 0.002 ? 1u : 0u) << step;
    last = nmse;
  }
}

TEST(Trellis, StepsFollowTheFeedbackScales) {
  const Matrix<float> x = normal_matrix(64, 4, 1);
  const double scales[] = {1, 2, 0.25, 2};
  FitContext ctx;
  ctx.feedback_scales = scales;
  const QuantizerCase trellis{"trellis", {{"step", "0.25"}}};
  const auto quantizer = quantizer_fit(trellis.entry())(trellis.params(), x.view(), ctx);
  const std::span<const float> factors = quantizer->integer_view()->column_factors;
  ASSERT_EQ(factors.size(), 4u);
  EXPECT_FLOAT_EQ(factors[0], 2 * factors[1]);
  EXPECT_FLOAT_EQ(factors[2], 4 * factors[0]);
  EXPECT_EQ(factors[1], factors[3]);
  double energy = 0;
  for (size_t i = 0; i < x.size(); ++i) energy += double{x.data()[i]} * double{x.data()[i]};
  // A scale of 1 is below the mean, sqrt((1 + 4 + 1/16 + 4) / 4). With few rows, codes are a quarter of an octave
  // apart.
  EXPECT_NEAR(factors[0] / (0.25 * std::sqrt(energy / 256) * std::sqrt(9.0625 / 4)), 1, 0.091);
}

TEST(Trellis, IntegersTimesFactorsAreTheValues) {
  const Matrix<float> x = normal_matrix(100, 37, 9);
  const auto quantizer = QuantizerCase{"trellis", {}}.fit(x.view());
  const Coded coded = quantize_whole(*quantizer, x.view());
  Matrix<int32_t> k(100, 37);
  quantizer->integers({0, 0, 100, 37}, coded.const_planes(), k.view());
  const IntegerView view = *quantizer->integer_view();
  EXPECT_TRUE(view.factors.empty());
  for (size_t r = 0; r < 100; ++r) {
    for (size_t c = 0; c < 37; ++c) {
      ASSERT_EQ(static_cast<float>(k(r, c)) * view.column_factors[c], coded.values(r, c));
    }
  }
}

TEST(Trellis, RefusesBadSideInformation) {
  const QuantizerCase trellis{"trellis", {}};
  const auto load = [&](float base, std::vector<uint8_t> rest) {
    ByteWriter out;
    out.put(base);
    out.put_bytes(rest);
    const Bytes bytes = out.take();
    ByteReader side(bytes, "m.occ: tensor 'w'");
    trellis.entry().load(trellis.params(), {5, 3}, side);
  };
  EXPECT_NO_THROW(load(1, {0}));
  EXPECT_NO_THROW(load(1, {1, 0, 128, 255}));
  EXPECT_THROW(load(1, {1, 0, 128}), Error);                // one column is missing
  EXPECT_THROW(load(1, {2}), Error);                        // the codes are missing
  EXPECT_THROW(load(-1, {0}), Error);                       // the base is negative
  EXPECT_THROW(load(std::nanf(""), {0}), Error);            // the base is NaN
  EXPECT_THROW(load(0x1p111f, {0}), Error);                 // the base is too large
  EXPECT_THROW(load(0x1p109f, {1, 128, 128, 200}), Error);  // the factor of column 2 is too large
  EXPECT_THROW((QuantizerCase{"trellis", {{"states", "12"}}}.fit(normal_matrix(4, 4).view())), Error);
}

}  // namespace
}  // namespace occ
