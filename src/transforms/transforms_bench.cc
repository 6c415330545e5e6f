// Measures bytes of the f32 matrix per second. Matrices have 256 rows; for axis=out they have 4,096 or 576 rows and 256
// columns.
#include <benchmark/benchmark.h>

#include <string>

#include "base/rng.h"
#include "transforms/transform.h"

namespace occ {
namespace {

struct Bench {
  const char* label;
  const char* name;
  Params::Given params;
};
const std::vector<Bench>& benches() {
  static const std::vector<Bench> kBenches = {
      {"identity", "identity", {}},
      {"signs", "signs", {}},
      {"hadamard", "hadamard", {}},
      {"hadamard_block128", "hadamard", {{"block", "128"}}},
      {"hadamard_out", "hadamard", {{"axis", "out"}}},
      {"dct", "dct", {}},
      {"dct_block64", "dct", {{"block", "64"}}},
      {"dct_out", "dct", {{"axis", "out"}}},
      {"dst", "dst", {}},
      {"pca_block64", "pca", {{"block", "64"}}},
      {"pca_block576", "pca", {{"block", "576"}}},
      {"rowscale", "rowscale", {}},
  };
  return kBenches;
}

void run(benchmark::State& state, const Bench& bench, size_t length, bool inverse) {
  const TransformEntry& entry = *find_transform(bench.name);
  const Params params(entry.params, bench.params, bench.name);
  const bool out_axis = params.has("axis") && params.choice("axis") == "out";
  const Shape shape = out_axis ? Shape{length, 256} : Shape{256, length};
  Matrix<float> x(shape.rows, shape.cols), y(shape.rows, shape.cols);
  Rng rng(1);
  for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.uniform() - 0.5);
  const auto t = transform_fit(entry)(params, x.view(), {});
  const Rect all{0, 0, shape.rows, shape.cols};
  const MatrixView<float> planes[] = {y.view()};
  const MatrixView<const float> read[] = {x.view()};
  for (auto _ : state) {
    inverse ? t->inverse(all, read, y.view()) : t->forward(all, x.view(), planes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}

const bool kRegistered = [] {
  for (const size_t length : {4096, 576}) {
    for (const Bench& bench : benches()) {
      for (const bool inverse : {false, true}) {
        const std::string label = fmt::format("{}/{}/{}", bench.label, length, inverse ? "inverse" : "forward");
        benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& s) { run(s, bench, length, inverse); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace occ
