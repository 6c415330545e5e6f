// Fine-tunes the vectors of a compressed model on a text (src/calibration/tune.h) and prints the KL divergence before
// and after. With `rows` it tunes factors for the rows of the matrices as well.
//
//   tune COMPRESSED REFERENCE TEXT TOKENS LENGTH BATCH RATE [rows]
//
// REFERENCE is the original model. The first TOKENS tokens of TEXT are cut into sequences of LENGTH tokens. BATCH is
// the number of tokens of a step, and RATE is the learning rate.
#include "calibration/tune.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "container/archive_file.h"
#include "experiments/main.h"

namespace occ {
namespace {

int run(int argc, char** argv) {
  if (argc != 8 && argc != 9) throw_usage("usage: tune COMPRESSED REFERENCE TEXT TOKENS LENGTH BATCH RATE [rows]");
  const std::unique_ptr<TensorFile> compressed = open_any(argv[1]), reference = open_any(argv[2]);
  std::ifstream in(argv[3], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto count = static_cast<size_t>(std::atol(argv[4])), length = static_cast<size_t>(std::atol(argv[5]));
  const auto tokenizer = make_tokenizer(*reference);
  const std::vector<TokenId> tokens =
      tokenizer->encode(text.substr(0, 16 * count), {.add_special = true, .parse_special = false});
  std::vector<std::vector<TokenId>> sequences;
  for (size_t i = 0; i + length <= std::min(count, tokens.size()); i += length) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i);
    sequences.emplace_back(begin, begin + static_cast<ptrdiff_t>(length));
  }
  TuneOptions options;
  options.batch_tokens = static_cast<size_t>(std::atol(argv[6]));
  options.rate = std::atof(argv[7]);
  for (const TensorInfo& t : compressed->tensors()) {
    if (argc == 9 && t.shape.size() == 2) options.scaled.insert(t.name);
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  options.progress = [&](size_t step, size_t steps, double kl) {
    std::printf("step %zu of %zu: KL %.4f, %.0f s\n", step, steps, kl, seconds());
    std::fflush(stdout);
  };
  const TuneResult r = tune_model(*compressed, *reference, sequences, std::filesystem::temp_directory_path(), options);
  std::printf("held-out KL %.5f -> %.5f (%zu vectors), %.0f s\n", r.kl_before, r.kl_after, r.values.vectors.size(),
              seconds());
  return 0;
}

}  // namespace
}  // namespace occ

int main(int argc, char** argv) { return occ::experiment_main(occ::run, argc, argv); }
