// Measures bytes of f32 values per second on one core: 128 columns in 16 subspaces with 256 centroids each, as for
// SIFT.
#include "quantization/quantizer_for_bench.h"

namespace occ {
namespace {

const QuantizerCase kCase{"pq", {{"m", "16"}, {"k", "256"}, {"iterations", "20"}}};

void pq_code(benchmark::State& state, bool decode) { bench_code(state, kCase, {4096, 128}, decode); }
BENCHMARK_CAPTURE(pq_code, quantize, false);
BENCHMARK_CAPTURE(pq_code, dequantize, true);

// Fits the codebooks to 100,000 vectors.
void pq_fit(benchmark::State& state) {
  ThreadLimit one(1);
  const Matrix<float> x = normal_matrix(100'000, 128);
  for (auto _ : state) benchmark::DoNotOptimize(kCase.fit(x.view()));
}
BENCHMARK(pq_fit)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace occ
