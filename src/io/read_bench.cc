// read_f32 of 64 Mi elements from the page cache, in panels of 1 Mi elements; figures are bytes of f32 output per
// second of CPU time. The bound is one copy out of the page cache (F32).
#include <benchmark/benchmark.h>

#include "io/for_test.h"
#include "io/npy.h"
#include "io/open.h"
#include "io/safetensors.h"

namespace occ {
namespace {

constexpr uint64_t kRows = 16384;
constexpr uint64_t kCols = 4096;
constexpr uint64_t kPanel = uint64_t{1} << 20;

void read_all(benchmark::State& state, const std::filesystem::path& path) {
  const auto file = open_tensor_file(path);
  std::vector<float> out(kPanel);
  for ([[maybe_unused]] const auto iteration : state) {
    for (uint64_t at = 0; at < kRows * kCols; at += kPanel) file->read_f32(0, at, kPanel, out.data());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRows * kCols * sizeof(float)));
}

std::filesystem::path temporary(const char* name) { return std::filesystem::temp_directory_path() / name; }

void write_and_read(benchmark::State& state, const char* name, DType dtype) {
  const std::filesystem::path path = temporary(name);
  const auto sink = make_tensor_sink(path, {{}, uint64_t{1} << 40, false});
  sink->begin({{"w", dtype, {kRows, kCols}}});
  const Bytes panel = random_raw_for_test(dtype, kPanel, 1);
  for (uint64_t at = 0; at < kRows * kCols; at += kPanel) sink->write(panel.data(), panel.size());
  sink->commit();
  read_all(state, path);
  std::filesystem::remove(path);
}

void bm_fortran(benchmark::State& state) {
  const std::filesystem::path path = temporary("occ-bench-f.npy");
  {
    OutputFile file(path, false);
    const std::string header = format_npy_header({DType::kF32, true, {kRows, kCols}});
    file.write(header.data(), header.size());
    const Bytes panel = random_raw_for_test(DType::kF32, kPanel, 1);
    for (uint64_t at = 0; at < kRows * kCols; at += kPanel) file.write(panel);
    file.commit();
  }
  read_all(state, path);
  std::filesystem::remove(path);
}

BENCHMARK_CAPTURE(write_and_read, safetensors_f32, "occ-bench.safetensors", DType::kF32);
BENCHMARK_CAPTURE(write_and_read, safetensors_bf16, "occ-bench.safetensors", DType::kBF16);
BENCHMARK_CAPTURE(write_and_read, safetensors_f16, "occ-bench.safetensors", DType::kF16);
BENCHMARK_CAPTURE(write_and_read, npy_f32, "occ-bench.npy", DType::kF32);
BENCHMARK_CAPTURE(write_and_read, fvecs, "occ-bench.fvecs", DType::kF32);
BENCHMARK(bm_fortran);

}  // namespace
}  // namespace occ
