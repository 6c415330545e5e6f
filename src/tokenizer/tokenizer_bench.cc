// Benchmark of encoding: token ids per second. It needs a test text (OCC_TEST_DATA).
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "tokenizer/tokenizer.h"

namespace occ {
namespace {

void encode(benchmark::State& state, const std::string& tokenizer_path) {
  const char* env = std::getenv("OCC_TEST_DATA");
  const std::filesystem::path data = env != nullptr ? env : "../shared/data";
  if (!std::filesystem::exists(data / tokenizer_path)) {
    state.SkipWithError("no test data");
    return;
  }
  const auto tokenizer = open_tokenizer((data / tokenizer_path).string());
  const Bytes bytes = read_file(data / "text/wiki.test.raw");
  const std::string text(bytes.begin(), bytes.end());
  size_t tokens = 0;
  for (auto _ : state) tokens = tokenizer->encode(text).size();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["tokens"] = static_cast<double>(tokens);
}

BENCHMARK_CAPTURE(encode, gpt_neox, std::string("tokenizers/gpt-neox-20B_tokenizer.json"))
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, gpt_2, std::string("tokenizers/ggml-vocab-gpt-2.gguf"))->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, llama_spm, std::string("tokenizers/ggml-vocab-llama-spm.gguf"))
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, minilm, std::string("models/all-MiniLM-L6-v2/tokenizer.json"))->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, smollm2, std::string("models/SmolLM2-135M-Instruct.Q4_1.gguf"))
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace occ
