// Compares KL divergences that the second-order model predicts (src/calibration/fisher.h) with measured ones. The
// change of the model is Gaussian noise in one tensor at a time.
//
//   fisher_noise MODEL TEXT TOKENS NOISE GLOB...
//
// The first TOKENS tokens of TEXT, in chunks of 512, give the Fisher information, and the divergence is measured on the
// same tokens. NOISE is the energy of the noise relative to that of the tensor. Every tensor gets two predictions: one
// that takes the tokens as independent of each other, and one without this assumption.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/glob.h"
#include "base/rng.h"
#include "calibration/changed_file.h"
#include "calibration/fisher.h"
#include "container/archive_file.h"
#include "evaluation/perplexity.h"
#include "experiments/main.h"
#include "experiments/sequences.h"
#include "model/transformer.h"

namespace occ {
namespace {

constexpr size_t kContext = 512;

double predict(const Fisher& fisher, const std::string& tensor, MatrixView<const float> errors) {
  double sum = 0;
  for (const auto* parts : {&fisher.linear, &fisher.embeddings}) {
    if (const auto at = parts->find(tensor); at != parts->end()) sum += predicted_kl(at->second, errors);
  }
  return sum;
}

int run(int argc, char** argv) {
  if (argc < 6) throw_usage("usage: fisher_noise MODEL TEXT TOKENS NOISE GLOB...");
  const std::unique_ptr<TensorFile> file = open_any(argv[1]);
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(*file);
  const std::string text = read_text(argv[2]);
  const size_t count = static_cast<size_t>(std::atol(argv[3]));
  const auto sequences = sequences_of(*tokenizer, text, count, kContext);
  GradientModel gradients(*file, std::filesystem::temp_directory_path(), false);
  Fisher fishers[2];
  for (const bool exact : {false, true}) {
    const auto begin = std::chrono::steady_clock::now();
    fishers[exact ? 1 : 0] = measure_fisher(gradients, sequences, {.exact = exact, .first = kContext / 2});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("# %zu sequences, exact %d: %.1f s\n", sequences.size(), exact ? 1 : 0, seconds.count());
    std::fflush(stdout);
  }
  TransformerOptions options;
  options.arithmetic = Arithmetic::kF32;
  const auto reference = load_transformer(*file, options);
  std::printf("tensor,independent,exact,measured,stderr,measured/independent,measured/exact\n");
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const TensorInfo& info = file->tensors()[i];
    bool wanted = false;
    for (int a = 5; a < argc; ++a) wanted = wanted || glob_match(argv[a], info.name);
    if (!wanted || info.shape.size() != 2) continue;
    std::vector<float> values(info.elements());
    file->read_f32(i, 0, values.size(), values.data());
    double energy = 0;
    for (const float v : values) energy += double{v} * double{v};
    const double sigma = std::sqrt(std::atof(argv[4]) * energy / static_cast<double>(values.size()));
    Matrix<float> noise = Matrix<float>::uninitialized(info.shape[0], info.shape[1]);
    Rng rng(i);
    for (size_t e = 0; e < values.size(); ++e) {
      noise.data()[e] = static_cast<float>(sigma * rng.normal());
      values[e] += noise.data()[e];
    }
    ChangedFile changed(*file);
    changed.replace(info.name, std::move(values));
    const auto model = load_transformer(changed, options);
    const PerplexityResult found = measure_perplexity(*model, *tokenizer, text, "text", reference.get(),
                                                      {.context = kContext, .max_tokens = count, .progress = {}});
    const double independent = predict(fishers[0], info.name, noise.view());
    const double exact = predict(fishers[1], info.name, noise.view()), kl = found.divergence->kl_mean;
    std::printf("%s,%.6f,%.6f,%.6f,%.6f,%.3f,%.3f\n", info.name.c_str(), independent, exact, kl,
                found.divergence->kl_stderr, kl / independent, kl / exact);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace occ

int main(int argc, char** argv) { return occ::experiment_main(occ::run, argc, argv); }
