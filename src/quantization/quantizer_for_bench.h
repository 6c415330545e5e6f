// Shared by the benchmarks of quantizers.
#pragma once

#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "quantization/quantizer_for_test.h"

namespace occ {

// Reports bytes of f32 values per second.
inline void set_value_bytes(benchmark::State& state, size_t elements) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * elements * sizeof(float)));
}

// Measures quantizing or decoding a whole matrix of normal values on one core.
inline void bench_code(benchmark::State& state, const QuantizerCase& c, Shape shape, bool decode) {
  ThreadLimit one(1);
  const Matrix<float> x = normal_matrix(shape.rows, shape.cols);
  const auto quantizer = c.fit(x.view());
  Coded coded = quantize_whole(*quantizer, x.view());
  const auto planes = coded.planes();
  const auto const_planes = coded.const_planes();
  const Rect all{0, 0, shape.rows, shape.cols};
  Matrix<float> values(shape.rows, shape.cols);
  for (auto _ : state) {
    if (decode) {
      quantizer->dequantize(all, const_planes, values.view());
    } else {
      state.PauseTiming();
      std::copy_n(x.data(), x.size(), values.data());
      state.ResumeTiming();
      quantizer->quantize(all, values.view(), planes);
    }
    benchmark::ClobberMemory();
  }
  set_value_bytes(state, x.size());
}

}  // namespace occ
