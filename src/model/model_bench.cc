// Benchmarks of what a transformer computes between its matrix products, with the sizes of SmolLM2-135M: width 576, 9
// query heads of 64 elements that share 3 key heads, MLP width 1,536.
#include <benchmark/benchmark.h>

#include "base/rng.h"
#include "model/attention.h"
#include "model/kernels.h"

namespace occ {
namespace {

Matrix<float> noise(size_t rows, size_t cols) {
  Matrix<float> m = Matrix<float>::uninitialized(rows, cols);
  Rng rng(1);
  for (size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.normal());
  return m;
}

// One layer's attention on one thread: `tokens` new ones, `context` with them. Items are multiply-adds.
void attention(benchmark::State& state, bool half) {
  const auto tokens = static_cast<size_t>(state.range(0)), context = static_cast<size_t>(state.range(1));
  constexpr size_t kDim = 64, kHeads = 9, kKvHeads = 3, kGroup = kHeads / kKvHeads;
  PlainKvCache cache(1, kKvHeads, kDim, context, half);
  const Matrix<float> data = noise(1, 2 * kDim), q = noise(tokens, kHeads * kDim);
  for (size_t p = 0; p < context; ++p) {
    for (size_t h = 0; h < kKvHeads; ++h) cache.put(0, h, p, data.data() + p % kDim, data.data());
  }
  Matrix<float> out(tokens, kHeads * kDim);
  for (auto _ : state) {
    for (size_t t = 0; t < tokens; t += 21) {
      for (size_t h = 0; h < kKvHeads; ++h) {
        AttentionPanel p;
        p.q = q.row(t) + h * kGroup * kDim;
        p.q_token_step = p.out_token_step = kHeads * kDim;
        p.q_head_step = kDim;
        p.out = out.row(t) + h * kGroup * kDim;
        p.tokens = std::min<size_t>(21, tokens - t);
        p.group = kGroup;
        p.head_dim = kDim;
        p.scale = 0.125f;
        p.first = context - tokens + t;
        p.length = context;
        p.cache = cache.head(0, h);
        p.half = half;
        attend(p);
      }
    }
  }
  const size_t seen = tokens * (context - tokens) + tokens * (tokens + 1) / 2;
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(2 * seen * kHeads * kDim));
}
void BM_AttentionF32(benchmark::State& state) { attention(state, false); }
void BM_AttentionF16(benchmark::State& state) { attention(state, true); }
BENCHMARK(BM_AttentionF32)->Args({1, 128})->Args({1, 1024})->Args({1, 8192})->Args({512, 512});
BENCHMARK(BM_AttentionF16)->Args({1, 128})->Args({1, 1024})->Args({1, 8192})->Args({512, 512});

void BM_Norm(benchmark::State& state) {
  const auto rows = static_cast<size_t>(state.range(0));
  Matrix<float> x = noise(rows, 576), out(rows, 576);
  ModelConfig config;
  const NormWeights norm{std::vector<float>(576, 1.0f), {}};
  for (auto _ : state) normalize(config, norm, x.view(), out.view());
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(x.size()));
}
BENCHMARK(BM_Norm)->Arg(1)->Arg(512)->UseRealTime();

void BM_Activation(benchmark::State& state) {
  const auto rows = static_cast<size_t>(state.range(1));
  Matrix<float> x = noise(rows, 2 * 1536);
  for (auto _ : state) activate(static_cast<Activation>(state.range(0)), true, nullptr, x.view());
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(x.size() / 2));
}
BENCHMARK(BM_Activation)->ArgsProduct({{0, 1, 2}, {1, 512}})->UseRealTime();

void BM_PutKeysAndValues(benchmark::State& state) {
  PlainKvCache cache(1, 3, 64, 512, state.range(0) != 0);
  const Matrix<float> data = noise(1, 64);
  for (auto _ : state) {
    for (size_t p = 0; p < 512; ++p) {
      for (size_t h = 0; h < 3; ++h) cache.put(0, h, p, data.data(), data.data());
    }
  }
  state.SetItemsProcessed(state.iterations() * 512 * 3 * 64);
}
BENCHMARK(BM_PutKeysAndValues)->Arg(0)->Arg(1);

}  // namespace
}  // namespace occ
