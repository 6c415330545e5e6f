// Writes the keys and values of a running model as matrices, for experiments on the compression of KV caches.
//
//   kv_activations MODEL TEXT TOKENS OUT_FOLDER
//
// Runs the first TOKENS tokens of TEXT through the model in f32, in chunks of at most 512, and writes for every layer
// the keys (after the rotary embedding) and the values as OUT_FOLDER/{keys,values}-LAYER.npy, f32
// [tokens, kv_heads * head_dim].
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "experiments/main.h"
#include "io/sink.h"
#include "model/language_model.h"

namespace occ {
namespace {

void write_npy(const std::filesystem::path& path, const Matrix<float>& x) {
  const auto sink = make_tensor_sink(path);
  sink->begin({{"x", DType::kF32, {x.rows(), x.cols()}}});
  sink->write(x.data(), x.size() * sizeof(float));
  sink->commit();
}

int run(int argc, char** argv) {
  if (argc != 5) throw_usage("usage: kv_activations MODEL TEXT TOKENS OUT_FOLDER");
  TransformerOptions options;
  options.arithmetic = Arithmetic::kF32;
  const LanguageModel model = open_language_model(argv[1], options);
  const Bytes text = read_file(argv[2]);
  std::vector<TokenId> tokens =
      model.tokenizer->encode({reinterpret_cast<const char*>(text.data()), text.size()}, {.parse_special = false});
  tokens.resize(std::min(tokens.size(), static_cast<size_t>(std::atol(argv[3]))));
  const ModelConfig& config = model.transformer->config();
  const size_t chunk = std::min<size_t>(512, config.max_context), width = config.kv_heads * config.head_dim;
  std::vector<Matrix<float>> keys, values;
  for (size_t l = 0; l < config.layers; ++l) {
    keys.emplace_back(tokens.size(), width);
    values.emplace_back(tokens.size(), width);
  }
  const auto cache = model.transformer->make_cache(chunk);
  for (size_t at = 0; at < tokens.size(); at += chunk) {
    cache->truncate(0);
    const Sequence part{std::span(tokens).subspan(at, std::min(chunk, tokens.size() - at)), cache.get()};
    model.transformer->hidden({&part, 1});
    for (size_t l = 0; l < config.layers; ++l) {
      const Matrix<float> k = cache->keys(l), v = cache->values(l);
      std::copy_n(k.data(), k.size(), keys[l].row(at));
      std::copy_n(v.data(), v.size(), values[l].row(at));
    }
  }
  std::filesystem::create_directories(argv[4]);
  for (size_t l = 0; l < config.layers; ++l) {
    write_npy(std::filesystem::path(argv[4]) / fmt::format("keys-{:02}.npy", l), keys[l]);
    write_npy(std::filesystem::path(argv[4]) / fmt::format("values-{:02}.npy", l), values[l]);
  }
  std::printf("%zu layers, keys and values [%zu, %zu] each\n", config.layers, tokens.size(), width);
  return 0;
}

}  // namespace
}  // namespace occ

int main(int argc, char** argv) { return occ::experiment_main(occ::run, argc, argv); }
