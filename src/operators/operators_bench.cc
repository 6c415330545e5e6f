// Products y = W x, W 2048 x 5632 and N(0, 1), on one core. Items are multiply-adds (batch 1: weights).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/parallel.h"
#include "operators/coded_for_test.h"
#include "operators/dense.h"
#include "operators/memory_file_for_test.h"
#include "operators/tree.h"

namespace occ {
namespace {

constexpr Shape kShape{2048, 5632};

const Matrix<float>& weights() {
  static const Matrix<float> w = normal_matrix(kShape.rows, kShape.cols, 1);
  return w;
}

void run(benchmark::State& state, const Operator& op) {
  const ThreadLimit one(1);
  const auto batch = static_cast<size_t>(state.range(0));
  const Matrix<float> x = normal_matrix(batch, op.shape().cols, 7);
  Matrix<float> y(batch, op.shape().rows);
  for (auto _ : state) {
    op.apply(x.view(), y.view());
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * batch * kShape.size()));
  state.counters["MB"] = static_cast<double>(op.resident_bytes()) / 1e6;
}

void dense(benchmark::State& state, DType type) {
  const auto op = make_operator(MemoryFile(weights().view(), type), 0, {});
  run(state, *op);
}
BENCHMARK_CAPTURE(dense, f32, DType::kF32)->Arg(1)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(dense, f16, DType::kF16)->Arg(1)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(dense, bf16, DType::kBF16)->Arg(1)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond);

// Encoded once per recipe.
const CodedForTest& coded(const std::string& recipe) {
  static std::string last;
  static std::unique_ptr<CodedForTest> made;
  if (recipe != last) made = std::make_unique<CodedForTest>(Recipe::parse(recipe), weights().view());
  last = recipe;
  return *made;
}

void compressed(benchmark::State& state, const char* recipe) {
  const auto op = make_tree(coded(recipe).load(), nullptr, false);
  run(state, *op);
  state.SetLabel(
      fmt::format("{:.2f} bpw, {}", 8.0 * static_cast<double>(coded(recipe).bytes()) / kShape.size(), op->kind()));
}
void load(benchmark::State& state, const char* recipe) {
  const ThreadLimit one(1);
  coded(recipe);
  for (auto _ : state) benchmark::DoNotOptimize(make_tree(coded(recipe).load(), nullptr, false));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kShape.size()));
}
#define OCC_RECIPE(name, recipe)                                                                                \
  BENCHMARK_CAPTURE(compressed, name, recipe)->Arg(1)->Arg(2)->Arg(8)->Arg(128)->Unit(benchmark::kMillisecond); \
  BENCHMARK_CAPTURE(load, name, recipe)->Unit(benchmark::kMillisecond)
OCC_RECIPE(trellis_2_bits, "trellis(step=0.498) > rans(tables=64)");
OCC_RECIPE(trellis_3_bits, "trellis(step=0.249) > rans(tables=64)");
OCC_RECIPE(trellis_4_bits, "trellis(step=0.1245) > rans(tables=64)");
OCC_RECIPE(trellis_64_states_4_bits, "trellis(states=64, step=0.1245) > rans(tables=64)");
OCC_RECIPE(rtn_4_bits, "uniform(bits=4) > bitpack");
OCC_RECIPE(rtn_4_bits_groups_of_64, "uniform(bits=4, group=64) > bitpack");
OCC_RECIPE(hadamard_trellis_4_bits, "signs > hadamard > trellis(step=0.1245) > rans(tables=64)");
// Up to 32 inputs in two parts, beyond by decoding.
BENCHMARK_CAPTURE(compressed, kashin_4_bits, "kashin(rounds=0) > bitpack")
    ->Arg(1)
    ->Arg(8)
    ->Arg(32)
    ->Arg(33)
    ->Arg(128)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace occ
