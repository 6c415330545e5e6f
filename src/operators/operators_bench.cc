// Products y = W x, W 2048 x 5632, on one core. Items are multiply-adds (batch 1: weights).
#include <benchmark/benchmark.h>

#include "base/parallel.h"
#include "operators/dense.h"
#include "operators/memory_file_for_test.h"

namespace occ {
namespace {

constexpr Shape kShape{2048, 5632};

void run(benchmark::State& state, const Operator& op) {
  const ThreadLimit one(1);
  const auto batch = static_cast<size_t>(state.range(0));
  const Matrix<float> x = gaussian_for_test(batch, op.shape().cols, 7);
  Matrix<float> y(batch, op.shape().rows);
  for (auto _ : state) {
    op.apply(x.view(), y.view());
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * batch * op.shape().size()));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * op.resident_bytes()));
}

void dense(benchmark::State& state, DType type) {
  const Matrix<float> w = gaussian_for_test(kShape.rows, kShape.cols, 1);
  const auto op = make_operator(MemoryFile(w.view(), type), 0, {});
  run(state, *op);
}
BENCHMARK_CAPTURE(dense, f32, DType::kF32)->Arg(1)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(dense, f16, DType::kF16)->Arg(1)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(dense, bf16, DType::kBF16)->Arg(1)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace occ
