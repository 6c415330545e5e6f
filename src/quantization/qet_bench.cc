// Measures bytes of f32 values per second on one core. Splitting and merging are measured per level on rows of 4,096
// values, and compared with a plain copy of the rows.
#include "quantization/entanglement_tree.h"
#include "quantization/quantizer_for_bench.h"

namespace occ {
namespace {

constexpr size_t kRows = 64, kCols = 4096;

enum class Work { kCopy, kSplit, kMerge };

// Splits or merges one level.
void qet_level(benchmark::State& state, Work work) {
  const Matrix<float> x = normal_matrix(kRows, kCols);
  Matrix<float> parts(kRows, kCols), back(kRows, kCols);
  Matrix<Symbol> order(kRows, kCols / 2);
  for (size_t r = 0; r < kRows; ++r) {
    split_pairs(x.row(r), kCols / 2, parts.row(r), parts.row(r) + kCols / 2, order.row(r));
  }
  for (auto _ : state) {
    for (size_t r = 0; r < kRows; ++r) {
      if (work == Work::kCopy) std::memcpy(back.row(r), x.row(r), kCols * sizeof(float));
      if (work == Work::kSplit) {
        split_pairs(x.row(r), kCols / 2, parts.row(r), parts.row(r) + kCols / 2, order.row(r));
      }
      if (work == Work::kMerge) {
        merge_pairs(parts.row(r), parts.row(r) + kCols / 2, order.row(r), kCols / 2, back.row(r));
      }
    }
    benchmark::ClobberMemory();
  }
  set_value_bytes(state, x.size());
}
BENCHMARK_CAPTURE(qet_level, copy, Work::kCopy);
BENCHMARK_CAPTURE(qet_level, split, Work::kSplit);
BENCHMARK_CAPTURE(qet_level, merge, Work::kMerge);

// Measures the whole stage. Argument: number of levels. The codebooks are as in pq_bench.cc.
void qet_code(benchmark::State& state, bool decode) {
  const QuantizerCase c{"qet", {{"levels", std::to_string(state.range(0))}, {"m", "16"}, {"k", "256"}}};
  bench_code(state, c, {4096, 128}, decode);
}
BENCHMARK_CAPTURE(qet_code, quantize, false)->Arg(0)->Arg(1)->Arg(4);
BENCHMARK_CAPTURE(qet_code, dequantize, true)->Arg(0)->Arg(1)->Arg(4);

}  // namespace
}  // namespace occ
