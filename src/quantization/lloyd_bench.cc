// Rates are bytes of f32 values per second, on one core.
#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "quantization/quantizer_for_test.h"

namespace occ {
namespace {

void lloyd_fit(benchmark::State& state, const char* codebook) {
  ThreadLimit one(1);
  const QuantizerCase c{"lloyd", {{"bits", std::to_string(state.range(0))}, {"codebook", codebook}}};
  const Matrix<float> x = normal_matrix(256, 4096);
  for (auto _ : state) benchmark::DoNotOptimize(c.fit(x.view()));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}
BENCHMARK_CAPTURE(lloyd_fit, gaussian, "gaussian")->Arg(2)->Arg(4)->Arg(8);
BENCHMARK_CAPTURE(lloyd_fit, fitted, "fitted")->Arg(2)->Arg(4)->Arg(8);

void lloyd_code(benchmark::State& state, bool decode) {
  const QuantizerCase c{"lloyd", {{"bits", std::to_string(state.range(0))}}};
  const Matrix<float> x = normal_matrix(16, 1024);
  const auto quantizer = c.fit(x.view());
  Coded coded = quantize_whole(*quantizer, x.view());
  Matrix<float> panel(16, 1024);
  const auto planes = coded.planes();
  const auto const_planes = coded.const_planes();
  for (auto _ : state) {
    if (decode) {
      quantizer->dequantize({0, 0, 16, 1024}, const_planes, panel.view());
    } else {
      quantizer->quantize({0, 0, 16, 1024}, coded.values.view(), planes);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}
BENCHMARK_CAPTURE(lloyd_code, quantize, false)->Arg(2)->Arg(4)->Arg(8);
BENCHMARK_CAPTURE(lloyd_code, dequantize, true)->Arg(2)->Arg(4)->Arg(8);

}  // namespace
}  // namespace occ
