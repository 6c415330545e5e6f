// Rates are bytes of f32 values per second, on one core: 128 columns in 16 subspaces of 256 centroids, as for SIFT.
#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "quantization/quantizer_for_test.h"

namespace occ {
namespace {

const QuantizerCase kCase{"pq", {{"m", "16"}, {"k", "256"}, {"iterations", "20"}}};

void pq_code(benchmark::State& state, bool decode) {
  ThreadLimit one(1);
  const Matrix<float> x = normal_matrix(4096, 128);
  const auto quantizer = kCase.fit(x.view());
  Coded coded = quantize_whole(*quantizer, x.view());
  const auto planes = coded.planes();
  const auto const_planes = coded.const_planes();
  Matrix<float> panel(4096, 128);
  for (auto _ : state) {
    if (decode) {
      quantizer->dequantize({0, 0, 4096, 128}, const_planes, panel.view());
    } else {
      state.PauseTiming();
      std::copy_n(x.data(), x.size(), panel.data());
      state.ResumeTiming();
      quantizer->quantize({0, 0, 4096, 128}, panel.view(), planes);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}
BENCHMARK_CAPTURE(pq_code, quantize, false);
BENCHMARK_CAPTURE(pq_code, dequantize, true);

// Training on 100,000 vectors.
void pq_fit(benchmark::State& state) {
  ThreadLimit one(1);
  const Matrix<float> x = normal_matrix(100'000, 128);
  for (auto _ : state) benchmark::DoNotOptimize(kCase.fit(x.view()));
}
BENCHMARK(pq_fit)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace occ
