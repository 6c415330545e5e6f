// Rates are bytes of f32 values per second, on one core; 4,096 columns, 2 + 2 bits.
#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "quantization/quantizer_for_test.h"

namespace occ {
namespace {

void kashin_code(benchmark::State& state, bool decode) {
  ThreadLimit one(1);
  const QuantizerCase c{"kashin", {{"start", "pair"}, {"rounds", std::to_string(state.range(0))}}};
  const Matrix<float> x = normal_matrix(16, 4096);
  const auto quantizer = c.fit(x.view());
  Coded coded = quantize_whole(*quantizer, x.view());
  const auto planes = coded.planes();
  const auto const_planes = coded.const_planes();
  Matrix<float> panel = x.clone();
  for (auto _ : state) {
    if (decode) {
      quantizer->dequantize({0, 0, 16, 4096}, const_planes, panel.view());
    } else {
      std::copy_n(x.data(), x.size(), panel.data());
      quantizer->quantize({0, 0, 16, 4096}, panel.view(), planes);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}
BENCHMARK_CAPTURE(kashin_code, quantize, false)->Arg(0)->Arg(30);
BENCHMARK_CAPTURE(kashin_code, dequantize, true)->Arg(0);

}  // namespace
}  // namespace occ
