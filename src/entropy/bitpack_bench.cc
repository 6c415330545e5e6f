// Measures symbols per second of the packing kernels on data in the cache (8,192 symbols), and of the coder on a tile
// of 2^18 symbols. Argument: bits.
#include <benchmark/benchmark.h>

#include "entropy/bits.h"
#include "entropy/coder.h"
#include "entropy/planes_for_test.h"

namespace occ {
namespace {

constexpr size_t kCount = 8192;

void pack(benchmark::State& state) {
  const auto width = static_cast<unsigned>(state.range(0));
  const Matrix<Symbol> symbols = draw_symbols(1, kCount, uniform_weights(1u << width), 1);
  Bytes bytes(packed_bytes(kCount, width));
  for (auto _ : state) {
    pack_symbols(symbols.data(), kCount, width, bytes.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kCount));
}

void unpack(benchmark::State& state) {
  const auto width = static_cast<unsigned>(state.range(0));
  Matrix<Symbol> symbols = draw_symbols(1, kCount, uniform_weights(1u << width), 1);
  Bytes bytes(packed_bytes(kCount, width));
  pack_symbols(symbols.data(), kCount, width, bytes.data());
  for (auto _ : state) {
    benchmark::DoNotOptimize(unpack_symbols(bytes.data(), bytes.size(), width, 0, kCount, symbols.data()));
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kCount));
}

void decode_tile(benchmark::State& state) {
  const auto width = static_cast<unsigned>(state.range(0));
  const SymbolPlane plane = make_plane(256, 1024, 1u << width);
  Matrix<Symbol> symbols = draw_symbols(256, 1024, uniform_weights(1u << width), 1);
  const auto coder = find_coder("bitpack")->fit(Params(), plane, symbols.view(), {});
  const Rect at{0, 0, 256, 1024};
  const Bytes bytes = coder->encode(at, symbols.view());
  for (auto _ : state) coder->decode(at, bytes, symbols.view());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * symbols.size()));
}

BENCHMARK(pack)->Arg(1)->Arg(2)->Arg(3)->Arg(4)->Arg(6)->Arg(8)->Arg(11)->Arg(14)->Arg(16);
BENCHMARK(unpack)->Arg(1)->Arg(2)->Arg(3)->Arg(4)->Arg(6)->Arg(8)->Arg(11)->Arg(14)->Arg(16);
BENCHMARK(decode_tile)->Arg(2)->Arg(4)->Arg(8);

}  // namespace
}  // namespace occ
