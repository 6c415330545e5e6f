#include <benchmark/benchmark.h>

#include "base/rng.h"
#include "metrics/concentration.h"
#include "metrics/distortion.h"

namespace occ {
namespace {

Matrix<float> random(size_t rows, size_t cols, uint64_t seed) {
  Matrix<float> m(rows, cols);
  for (size_t i = 0; i < m.size(); ++i) {
    m.data()[i] = static_cast<float>(random_word(seed, i) >> 40) * 0x1p-24f - 0.5f;
  }
  return m;
}

// The throughput counts the bytes of the reference only.
void BM_Distortion(benchmark::State& state) {
  const size_t rows = static_cast<size_t>(state.range(0));
  const Matrix<float> x = random(rows, 4096, 1), y = random(rows, 4096, 2);
  for (auto _ : state) {
    DistortionAccumulator a;
    a.add(x.view(), y.view());
    benchmark::DoNotOptimize(a);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}
BENCHMARK(BM_Distortion)->Arg(4)->Arg(4096);

void BM_Concentration(benchmark::State& state) {
  const Matrix<float> x = random(256, 4096, 1);
  for (auto _ : state) {
    ConcentrationAccumulator a;
    a.add(x.view());
    benchmark::DoNotOptimize(a);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}
BENCHMARK(BM_Concentration);

}  // namespace
}  // namespace occ
