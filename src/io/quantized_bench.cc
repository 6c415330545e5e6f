// Reading quantized weights [4096, 4096] from the page cache as f32, in panels of 1 Mi elements, on one thread. Figures
// are bytes of the checkpoint per second of CPU time.
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <vector>

#include "io/for_test.h"
#include "io/open.h"
#include "io/safetensors.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSize = 4096, kPanel = uint64_t{1} << 20;

void read_weight(benchmark::State& state, const char* config, const std::vector<OutTensor>& tensors) {
  const fs::path folder = fs::temp_directory_path() / "occ-bench-quantized";
  fs::create_directories(folder);
  put_bytes_for_test(folder / "config.json", config);
  {
    SafetensorsWriter writer(folder / "model.safetensors", tensors, {}, false);
    for (const OutTensor& t : tensors) {
      uint64_t elements = 1;
      for (const uint64_t d : t.shape) elements *= d;
      Bytes data = random_raw_for_test(t.dtype, elements, 1);
      if (t.name.ends_with("g_idx")) {
        for (uint32_t i = 0; i < kSize; ++i) std::memcpy(data.data() + i * 4, std::array{i / 128}.data(), 4);
      }
      writer.write(data.data(), data.size());
    }
    writer.commit();
  }
  uint64_t bytes = 0;
  for ([[maybe_unused]] const auto iteration : state) {
    const std::unique_ptr<TensorFile> file = open_tensor_file(folder);
    bytes = file->file_bytes();
    std::vector<float> out(kPanel);
    for (uint64_t at = 0; at < kSize * kSize; at += kPanel) file->read_f32(0, at, kPanel, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
  fs::remove_all(folder);
}

void bm_gptq(benchmark::State& state) {
  read_weight(state, R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":128}})",
              {{"a.qweight", DType::kI32, {kSize / 8, kSize}},
               {"a.qzeros", DType::kI32, {kSize / 128, kSize / 8}},
               {"a.scales", DType::kF16, {kSize / 128, kSize}},
               {"a.g_idx", DType::kI32, {kSize}}});
}
void bm_awq(benchmark::State& state) {
  read_weight(state, R"({"quantization_config":{"quant_method":"awq","bits":4,"group_size":128}})",
              {{"a.qweight", DType::kI32, {kSize, kSize / 8}},
               {"a.qzeros", DType::kI32, {kSize / 128, kSize / 8}},
               {"a.scales", DType::kF16, {kSize / 128, kSize}}});
}
void bm_int8(benchmark::State& state) {
  read_weight(state, R"({"quantization_config":{"quant_method":"compressed-tensors","format":"int-quantized"}})",
              {{"a.weight", DType::kI8, {kSize, kSize}}, {"a.weight_scale", DType::kF32, {kSize, 1}}});
}
void bm_nvfp4(benchmark::State& state) {
  read_weight(
      state, R"({"quantization_config":{"quant_method":"compressed-tensors"}})",
      {{"a.weight_packed", DType::kU8, {kSize, kSize / 2}}, {"a.weight_scale", DType::kU8, {kSize, kSize / 16}}});
}

BENCHMARK(bm_gptq)->Unit(benchmark::kMillisecond);
BENCHMARK(bm_awq)->Unit(benchmark::kMillisecond);
BENCHMARK(bm_int8)->Unit(benchmark::kMillisecond);
BENCHMARK(bm_nvfp4)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace occ
