// Measures bytes of f32 values per second on one core. Arguments: bits of the direction and of the magnitude.
#include "quantization/polar_codebook.h"
#include "quantization/quantizer_for_bench.h"

namespace occ {
namespace {

void polar_code(benchmark::State& state, bool decode, const char* dim, const char* codebook) {
  const QuantizerCase c{"polar",
                        {{"direction", std::to_string(state.range(0))},
                         {"magnitude", std::to_string(state.range(1))},
                         {"dim", dim},
                         {"codebook", codebook}}};
  bench_code(state, c, {16, 4096}, decode);
}
BENCHMARK_CAPTURE(polar_code, quantize_8, false, "8", "e8-greedy")->Args({14, 2})->Args({15, 1})->Args({16, 2});
BENCHMARK_CAPTURE(polar_code, dequantize_8, true, "8", "e8-greedy")->Args({14, 2})->Args({15, 1})->Args({16, 2});
BENCHMARK_CAPTURE(polar_code, quantize_4, false, "4", "kmeans")->Args({10, 2})->Args({13, 3});
BENCHMARK_CAPTURE(polar_code, dequantize_4, true, "4", "kmeans")->Args({10, 2})->Args({13, 3});

void greedy_directions(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(generate_directions(DirectionSource::kE8Greedy, 8, static_cast<unsigned>(state.range(0))));
  }
}
BENCHMARK(greedy_directions)->Arg(14)->Arg(16)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace occ
