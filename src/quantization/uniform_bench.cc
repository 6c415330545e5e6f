// Measures bytes of f32 values per second on one core.
#include "quantization/quantizer_for_bench.h"

namespace occ {
namespace {

// Measures the fit, and the fit with quantization, of a matrix [1024, 4096].
void fit_only(benchmark::State& state, const QuantizerCase& c) {
  ThreadLimit one(1);
  const Matrix<float> x = normal_matrix(1024, 4096);
  for (auto _ : state) benchmark::DoNotOptimize(c.fit(x.view()));
  set_value_bytes(state, x.size());
}
void fit_and_quantize(benchmark::State& state, const QuantizerCase& c) {
  ThreadLimit one(1);
  Matrix<float> x = normal_matrix(1024, 4096);
  Matrix<Symbol> q(1024, 4096);
  const MatrixView<Symbol> planes[] = {q.view()};
  for (auto _ : state) {
    const auto quantizer = c.fit(x.view());
    for (size_t r = 0; r < 1024; r += 4)
      quantizer->quantize({r, 0, 4, 4096}, x.view().row_range(r, 4), {{planes[0].row_range(r, 4)}});
  }
  set_value_bytes(state, x.size());
}
// Decodes into one panel of 4 rows that stays in the cache.
void dequantize(benchmark::State& state, const QuantizerCase& c) {
  const Matrix<float> x = normal_matrix(64, 1024);
  const auto quantizer = c.fit(x.view());
  const Coded coded = quantize_whole(*quantizer, x.view());
  Matrix<float> panel(4, 1024);
  for (auto _ : state) {
    for (size_t r = 0; r < 64; r += 4) {
      const MatrixView<const Symbol> planes[] = {coded.symbols[0].view().row_range(r, 4)};
      quantizer->dequantize({r, 0, 4, 1024}, planes, panel.view());
      benchmark::DoNotOptimize(panel.data());
      benchmark::ClobberMemory();
    }
  }
  set_value_bytes(state, x.size());
}

const QuantizerCase kGroup32{"uniform", {{"group", "32"}, {"clip", "absmax"}}};
const QuantizerCase kGroup32Mse{"uniform", {{"group", "32"}}};
const QuantizerCase kRow2{"uniform", {{"bits", "2"}}}, kRow4{"uniform", {}}, kRow8{"uniform", {{"bits", "8"}}};
const QuantizerCase kRow4Asymmetric{"uniform", {{"zero", "asymmetric"}}};
const QuantizerCase kTensor4{"uniform", {{"per", "tensor"}}}, kColumn4{"uniform", {{"per", "column"}}};

BENCHMARK_CAPTURE(fit_and_quantize, group32_absmax, kGroup32);
BENCHMARK_CAPTURE(fit_only, group32_absmax, kGroup32);
BENCHMARK_CAPTURE(fit_only, group32_mse, kGroup32Mse);
BENCHMARK_CAPTURE(fit_only, row_2, kRow2);
BENCHMARK_CAPTURE(fit_only, row_4, kRow4);
BENCHMARK_CAPTURE(fit_only, row_8, kRow8);
BENCHMARK_CAPTURE(fit_only, row_4_asymmetric, kRow4Asymmetric);
BENCHMARK_CAPTURE(fit_only, tensor_4, kTensor4);
BENCHMARK_CAPTURE(fit_only, column_4, kColumn4);
BENCHMARK_CAPTURE(fit_and_quantize, row_4, kRow4);
BENCHMARK_CAPTURE(dequantize, group32, kGroup32);
BENCHMARK_CAPTURE(dequantize, row_4, kRow4);
BENCHMARK_CAPTURE(dequantize, column_4, kColumn4);

}  // namespace
}  // namespace occ
