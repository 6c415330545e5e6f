#include "model/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/rng.h"
#include "model/attention.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

Matrix<float> noise(size_t rows, size_t cols, uint64_t seed, double scale = 1) {
  Matrix<float> m(rows, cols);
  Rng rng(seed);
  for (size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(scale * rng.normal());
  return m;
}

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

TEST(Kernels, ActivationsFollowTheirFormulas) {
  const std::vector<std::pair<Activation, std::function<double(double)>>> all = {
      {Activation::kSilu, silu},
      {Activation::kGelu, gelu},
      {Activation::kGeluTanh, gelu_tanh},
      {Activation::kRelu, [](double x) { return x > 0 ? x : 0; }}};
  for_each_simd_target([&] {
    for (const auto& [kind, formula] : all) {
      // An odd number: vectors and a tail. From -100 to 100, small ones included.
      Matrix<float> x(1, 4001);
      std::vector<float> in(x.cols());
      for (size_t i = 0; i < in.size(); ++i) {
        const double t = (static_cast<double>(i) - 2000) / 2000;
        in[i] = x(0, i) = static_cast<float>(100 * t * t * t);
      }
      activate(kind, false, nullptr, x.view());
      for (size_t i = 0; i < in.size(); ++i) {
        const double want = formula(static_cast<double>(in[i]));
        ASSERT_NEAR(x(0, i), want, 3e-7 * std::max(1.0, std::abs(want))) << " at " << in[i];
      }
    }
  });
}

TEST(Kernels, GatedActivationWithBiases) {
  for_each_simd_target([&] {
    constexpr size_t kWidth = 37;
    Matrix<float> x = noise(3, 2 * kWidth, 1);
    const Matrix<float> bias = noise(1, 2 * kWidth, 2), before = x.clone();
    activate(Activation::kSilu, true, bias.data(), x.view());
    for (size_t r = 0; r < 3; ++r) {
      for (size_t c = 0; c < kWidth; ++c) {
        const double gate = before(r, c) + bias(0, c), up = before(r, kWidth + c) + bias(0, kWidth + c);
        ASSERT_NEAR(x(r, c), silu(gate) * up, 2e-6);
      }
    }
  });
}

TEST(Kernels, NormsFollowTheirFormulas) {
  for_each_simd_target([&] {
    for (const size_t n : {1, 3, 8, 33, 576}) {
      for (const Norm kind : {Norm::kRms, Norm::kLayer}) {
        ModelConfig config;
        config.norm = kind;
        Matrix<float> x = noise(2, n, n, 3), y = noise(2, n, n + 1), out(2, n);
        const Matrix<float> w = noise(2, n, n + 2), ybias = noise(1, n, n + 3), before = x.clone();
        NormWeights norm{{w.row(0), w.row(0) + n}, {}};
        if (kind == Norm::kLayer) norm.bias.assign(w.row(1), w.row(1) + n);
        const Addend addend{y.view(), ybias.data()};
        add_and_normalize(config, {&addend, 1}, norm, x.view(), out.view());
        for (size_t r = 0; r < 2; ++r) {
          double mean = 0, square = 0;
          for (size_t c = 0; c < n; ++c) {
            const double sum = double{before(r, c)} + double{y(r, c)} + double{ybias(0, c)};
            ASSERT_NEAR(x(r, c), sum, 1e-5);
            mean += kind == Norm::kLayer ? sum / static_cast<double>(n) : 0;
          }
          for (size_t c = 0; c < n; ++c) square += (x(r, c) - mean) * (x(r, c) - mean) / static_cast<double>(n);
          for (size_t c = 0; c < n; ++c) {
            const double want =
                (x(r, c) - mean) / std::sqrt(square + 1e-5) * w(0, c) + (kind == Norm::kLayer ? double{w(1, c)} : 0.0);
            // A single value has no variance: what is left of rounding is divided by sqrt(eps).
            ASSERT_NEAR(out(r, c), want, n == 1 ? 1e-3 : 2e-5) << n;
          }
        }
      }
    }
  });
}

TEST(Kernels, RotationsTurnPairs) {
  for_each_simd_target([&] {
    for (const size_t pairs : {1, 4, 8, 11, 32}) {
      const Matrix<float> x = noise(1, 2 * pairs + 3, pairs);
      Matrix<float> table(1, 2 * pairs), halves = x.clone(), adjacent = x.clone();
      for (size_t i = 0; i < pairs; ++i) {
        table(0, i) = std::cos(static_cast<float>(i) + 0.5f);
        table(0, pairs + i) = std::sin(static_cast<float>(i) + 0.5f);
      }
      rotate_head(RopePairs::kHalves, table.data(), pairs, halves.data());
      rotate_head(RopePairs::kAdjacent, table.data(), pairs, adjacent.data());
      for (size_t i = 0; i < pairs; ++i) {
        const float c = table(0, i), s = table(0, pairs + i);
        const auto expect = [&](const Matrix<float>& got, size_t a, size_t b) {
          ASSERT_NEAR(got(0, a), x(0, a) * c - x(0, b) * s, 1e-6);
          ASSERT_NEAR(got(0, b), x(0, b) * c + x(0, a) * s, 1e-6);
        };
        expect(halves, i, pairs + i);
        expect(adjacent, 2 * i, 2 * i + 1);
      }
      for (size_t i = 2 * pairs; i < x.cols(); ++i) ASSERT_EQ(halves(0, i), x(0, i)) << "the rest does not turn";
    }
  });
}

struct AttentionCase {
  size_t tokens, group, head_dim, before;  // before: tokens in the cache already
  bool causal;
  size_t window;
  double scale;
};

// Scores, softmax and sums in double, one token and head at a time.
void expect_attention(const AttentionCase& c, bool half) {
  const size_t length = c.before + c.tokens;
  PlainKvCache cache(1, 1, c.head_dim, length + 5, half);
  const Matrix<float> k = noise(length, c.head_dim, 1), v = noise(length, c.head_dim, 2);
  for (size_t p = 0; p < length; ++p) cache.put(0, 0, p, k.row(p), v.row(p));
  cache.set_length(length);
  const Matrix<float> keys = cache.keys(0), values = cache.values(0);  // as rounded
  const Matrix<float> q = noise(c.tokens, c.group * c.head_dim, 3, c.scale);
  Matrix<float> out(c.tokens, c.group * c.head_dim);
  AttentionPanel p;
  p.q = q.data();
  p.q_token_step = p.out_token_step = q.cols();
  p.q_head_step = c.head_dim;
  p.out = out.data();
  p.tokens = c.tokens;
  p.group = c.group;
  p.head_dim = c.head_dim;
  p.scale = 0.7f;
  p.first = c.before;
  p.length = length;
  p.causal = c.causal;
  p.window = c.window;
  p.cache = cache.head(0, 0);
  p.half = half;
  attend(p);
  for (size_t t = 0; t < c.tokens; ++t) {
    const size_t end = c.causal ? c.before + t + 1 : length;
    const size_t begin = c.window != 0 && end > c.window ? end - c.window : 0;
    for (size_t g = 0; g < c.group; ++g) {
      std::vector<double> score(end), sum(c.head_dim);
      double top = -INFINITY, total = 0;
      for (size_t j = begin; j < end; ++j) {
        for (size_t i = 0; i < c.head_dim; ++i) {
          score[j] += 0.7 * double{q(t, g * c.head_dim + i)} * double{keys(j, i)};
        }
        top = std::max(top, score[j]);
      }
      for (size_t j = begin; j < end; ++j) {
        const double weight = std::exp(score[j] - top);
        total += weight;
        for (size_t i = 0; i < c.head_dim; ++i) sum[i] += weight * double{values(j, i)};
      }
      for (size_t i = 0; i < c.head_dim; ++i) {
        ASSERT_NEAR(out(t, g * c.head_dim + i), sum[i] / total, 1e-5 * (1 + c.scale))
            << " half " << half << " token " << t;
      }
    }
  }
}

TEST(Attention, IsSoftmaxOfScoresTimesValues) {
  const std::vector<AttentionCase> cases = {
      {1, 1, 64, 0, true, 0, 1},    {1, 3, 64, 200, true, 0, 1},   {21, 3, 64, 60, true, 0, 1},
      {64, 1, 16, 0, true, 0, 1},   {7, 2, 24, 127, true, 0, 1},   {5, 4, 8, 63, true, 0, 1},
      {33, 1, 80, 0, false, 0, 1},  {70, 1, 32, 0, false, 0, 1},   {9, 2, 16, 150, true, 10, 1},
      {20, 1, 16, 60, true, 64, 1}, {3, 5, 1, 20, true, 0, 1},     {4, 1, 128, 300, true, 0, 30},
      {2, 1, 33, 64, true, 1, 1},   {16, 2, 64, 100, true, 65, 5}, {1, 7, 48, 15, true, 0, 1},
  };
  for_each_simd_target([&] {
    for (const AttentionCase& c : cases) {
      expect_attention(c, false);
      expect_attention(c, true);
    }
  });
}

// The tiles differ with the number of rows, the results must not.
TEST(Attention, RowsDoNotDependOnTheirPanel) {
  constexpr size_t kDim = 48, kLength = 150;
  PlainKvCache cache(1, 1, kDim, kLength, true);
  const Matrix<float> data = noise(kLength, 2 * kDim, 1), q = noise(kLength, kDim, 2);
  for (size_t p = 0; p < kLength; ++p) cache.put(0, 0, p, data.row(p), data.row(p) + kDim);
  const auto run = [&](size_t first, size_t tokens, float* out) {
    AttentionPanel p;
    p.q = q.row(first);
    p.q_token_step = p.out_token_step = kDim;
    p.out = out;
    p.tokens = tokens;
    p.group = 1;
    p.head_dim = kDim;
    p.first = first;
    p.length = kLength;
    p.cache = cache.head(0, 0);
    p.half = true;
    attend(p);
  };
  for_each_simd_target([&] {
    Matrix<float> whole(kLength, kDim), parts(kLength, kDim);
    run(0, kLength, whole.data());
    for (const size_t step : {1, 2, 3, 7}) {
      for (size_t t = 0; t < kLength; t += step) run(t, std::min(step, kLength - t), parts.row(t));
      for (size_t i = 0; i < whole.size(); ++i) ASSERT_EQ(parts.data()[i], whole.data()[i]) << step;
    }
  });
}

}  // namespace
}  // namespace occ
