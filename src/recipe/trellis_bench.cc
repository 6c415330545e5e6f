// Measures the default codec on N(0, 1), 4096 x 4096, from values to coded planes and back, in bytes of f32 values.
// Argument: number of states. Encoding includes the fit and the frequency tables. With one pass (effort 1) no sample is
// coded first.
#include <benchmark/benchmark.h>

#include <cmath>

#include "base/parallel.h"
#include "base/rng.h"
#include "recipe/bound.h"

namespace occ {
namespace {

constexpr Shape kShape{4096, 4096};

const Matrix<float>& values() {
  static const Matrix<float> x = [] {
    Matrix<float> m(kShape.rows, kShape.cols);
    Rng rng(1);
    for (size_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.normal());
    return m;
  }();
  return x;
}

Recipe recipe(int64_t states) { return Recipe::parse(fmt::format("trellis(states={}) > rans(tables=64)", states)); }

std::vector<CodedPlane> encode(const Recipe& r, const FitContext& ctx) {
  Matrix<float> read;
  const auto bound = fit_recipe(r, MatrixSource(values().view()), ctx, &read);
  bound->quantize({0, 0, kShape.rows, kShape.cols}, read.view());
  std::vector<CodedPlane> planes;
  bound->code(ctx, "", &planes);
  return planes;
}

void report(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kShape.size() * sizeof(float)));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kShape.size()));
}

void trellis_encode(benchmark::State& state) {
  const ThreadLimit one(1);
  FitContext ctx;
  ctx.effort = static_cast<int>(state.range(1));
  values();
  for (auto _ : state) benchmark::DoNotOptimize(encode(recipe(state.range(0)), ctx));
  report(state);
}
BENCHMARK(trellis_encode)
    ->ArgNames({"states", "effort"})
    ->Args({8, 1})
    ->Args({8, 3})
    ->Args({4, 3})
    ->Args({16, 3})
    ->Args({64, 3})
    ->Args({256, 3})
    ->Unit(benchmark::kMillisecond);

void trellis_decode(benchmark::State& state) {
  const ThreadLimit one(1);
  const Recipe r = recipe(state.range(0));
  const std::vector<CodedPlane> planes = encode(r, {});
  std::vector<ByteSpan> spans;
  for (const CodedPlane& p : planes) spans.emplace_back(p.bytes);
  PlaneReader reader(spans, "bench");
  const auto bound = load_recipe(r, kShape, reader);
  Matrix<float> out(kShape.rows, kShape.cols);
  const size_t tile = bound->tile_rows();
  for (auto _ : state) {
    for (size_t row = 0; row < kShape.rows; row += tile) {
      const Rect at{row, 0, std::min(tile, kShape.rows - row), kShape.cols};
      bound->dequantize(at, out.view().sub(at));
    }
    benchmark::DoNotOptimize(out.data());
  }
  report(state);
}
BENCHMARK(trellis_decode)->Arg(8)->Arg(256)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace occ
