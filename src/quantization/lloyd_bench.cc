// Measures bytes of f32 values per second on one core.
#include "quantization/quantizer_for_bench.h"

namespace occ {
namespace {

void lloyd_fit(benchmark::State& state, const char* codebook) {
  ThreadLimit one(1);
  const QuantizerCase c{"lloyd", {{"bits", std::to_string(state.range(0))}, {"codebook", codebook}}};
  const Matrix<float> x = normal_matrix(256, 4096);
  for (auto _ : state) benchmark::DoNotOptimize(c.fit(x.view()));
  set_value_bytes(state, x.size());
}
BENCHMARK_CAPTURE(lloyd_fit, gaussian, "gaussian")->Arg(2)->Arg(4)->Arg(8);
BENCHMARK_CAPTURE(lloyd_fit, fitted, "fitted")->Arg(2)->Arg(4)->Arg(8);

void lloyd_code(benchmark::State& state, bool decode) {
  const QuantizerCase c{"lloyd", {{"bits", std::to_string(state.range(0))}}};
  bench_code(state, c, {16, 1024}, decode);
}
BENCHMARK_CAPTURE(lloyd_code, quantize, false)->Arg(2)->Arg(4)->Arg(8);
BENCHMARK_CAPTURE(lloyd_code, dequantize, true)->Arg(2)->Arg(4)->Arg(8);

}  // namespace
}  // namespace occ
