#include <benchmark/benchmark.h>

#include "occ/matrix.h"
#include "simd/fwht.h"
#include "simd/product.h"

namespace occ {
namespace {

// Bytes: the block once per transform. Values stay bounded because the transform is orthonormal.
void BM_Fwht(benchmark::State& state) {
  const auto n = static_cast<size_t>(state.range(0));
  const size_t count = n < 4096 ? 4096 / n : 1;
  Matrix<float> x(1, n * count);
  for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(i % 17) - 8;
  for (auto _ : state) {
    fwht(x.data(), n, count);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * x.size() * sizeof(float)));
}
BENCHMARK(BM_Fwht)->Arg(16)->Arg(64)->Arg(128)->Arg(1024)->Arg(4096)->Arg(65536);

// Items: multiply-adds.
void BM_OrderedProduct(benchmark::State& state) {
  const auto n = static_cast<size_t>(state.range(0));
  Matrix<float> x(64, n), out(64, n);
  const PackedMatrix<float> b(n, n);
  for (auto _ : state) {
    ordered_product(x.view(), b, out.view());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * 64 * n * n));
}
BENCHMARK(BM_OrderedProduct)->Arg(128)->Arg(576)->Arg(2048);

}  // namespace
}  // namespace occ
