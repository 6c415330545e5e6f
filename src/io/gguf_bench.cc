// Dequantization of every block type from memory: bytes per second of f32 output, one core.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/rng.h"
#include "io/gguf_blocks.h"

namespace occ {
namespace {

void dequantize(benchmark::State& state, const GgufType* type) {
  constexpr size_t kElements = size_t{1} << 16;  // 256 KiB of output: stays in the L2 cache
  const size_t blocks = kElements / type->block_elements;
  std::vector<uint8_t> in(blocks * type->block_bytes);
  Rng rng(1);
  for (uint8_t& b : in) b = static_cast<uint8_t>(rng.next());
  std::vector<float> out(kElements);
  for (auto _ : state) {
    type->dequantize(in.data(), blocks, out.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kElements * sizeof(float)));
}

const bool kRegistered = [] {
  for (uint32_t id = 0; find_gguf_type(id) != nullptr; ++id) {
    const GgufType* type = find_gguf_type(id);
    if (!type->supported()) continue;
    benchmark::RegisterBenchmark(("gguf_dequantize/" + std::string(type->name)).c_str(), dequantize, type);
  }
  return true;
}();

}  // namespace
}  // namespace occ
