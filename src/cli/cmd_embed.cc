#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/lines.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "io/sink.h"
#include "model/embed.h"
#include "model/sentence_modules.h"

namespace occ {
namespace {

struct EmbedArguments {
  std::string model, text, output, arithmetic = "f32";
  std::optional<std::string> prompt, prompt_name;
  bool normalize = false, force = false, no_sync = false;
};

// Vectors that are in memory together.
constexpr size_t kTextsAtOnce = 65'536;

void run(const EmbedArguments& a, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  if (a.prompt && a.prompt_name) throw_usage("--prompt: expected without --prompt-name, which names one of the model");
  if (is_folder_output(a.output)) throw_usage("--output: expected .npy, .fvecs or .safetensors, found a folder");
  require_not_input(a.output, a.model);
  require_not_input(a.output, a.text);
  require_writable_target(a.output, a.force);
  const std::vector<std::string> texts = read_lines(a.text);
  if (texts.empty()) throw_input("{}: expected a text in every line, found none", a.text);
  const EncoderModel model = open_encoder(
      a.model, {.arithmetic = a.arithmetic == "f32" ? Arithmetic::kF32 : Arithmetic::kInt8, .observer = {}});
  print_source_notes(*model.file, globals);
  if (!model.encoder->config().says_pooling && !globals.quiet) {
    std::fprintf(stderr, "note: %s does not say how vectors are made of those of tokens: %s\n", a.model.c_str(),
                 model.encoder->config().pooling == Pooling::kLast ? "they are the last ones" : "they are the means");
  }
  EmbedOptions options;
  options.prompt = a.prompt ? *a.prompt : find_prompt(*model.file, a.prompt_name);
  options.normalize = a.normalize;
  const OutputLock lock(a.output);
  require_writable_target(a.output, a.force);  // again: another run may have ended
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(a.output, {.side_files = {}, .sync = !a.no_sync});
  const ProgressFn bar = progress_bar(globals, "texts");
  const auto start = std::chrono::steady_clock::now();
  size_t width = 0;
  for (size_t done = 0; done < texts.size(); done += kTextsAtOnce) {
    const size_t count = std::min(kTextsAtOnce, texts.size() - done);
    options.progress = [&](uint64_t n, uint64_t) {
      if (bar) bar("embed", done + n, texts.size());
    };
    options.texts_before = done;
    const Matrix<float> rows = model.embed(std::span(texts).subspan(done, count), options);
    if (done == 0) sink->begin({{"embeddings", DType::kF32, {texts.size(), rows.cols()}}});
    width = rows.cols();
    sink->write(rows.data(), rows.size() * sizeof(float));
  }
  sink->commit();
  end_progress();
  if (globals.quiet) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%s: %zu vectors of %zu values, %.0f texts per second\n", a.output.c_str(), texts.size(), width,
              static_cast<double>(texts.size()) / std::max(seconds, 1e-9));
}

}  // namespace

void add_embed(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("embed", "Make a vector of every line of a text, as sentence-transformers does");
  auto a = std::make_shared<EmbedArguments>();
  cmd->add_option("model", a->model, "Hugging Face folder, .gguf or archive")->required();
  cmd->add_option("--text", a->text, "File with one text per line")->required();
  cmd->add_option("-o,--output", a->output, ".npy, .fvecs or .safetensors: one row per line")->required();
  cmd->add_option("--prompt", a->prompt,
                  "Text to put before every line (default: the one that the model has as default)");
  cmd->add_option("--prompt-name", a->prompt_name, "Name of one of the model's prompts, for example query");
  cmd->add_flag("--normalize", a->normalize, "Scale vectors to length 1, also where the model's modules do not");
  cmd->add_option("--arithmetic", a->arithmetic,
                  "f32: weights as decoded, in RAM; int8: codes in RAM, activations in int8")
      ->check(CLI::IsMember({"f32", "int8"}))
      ->capture_default_str();
  cmd->add_flag("--force", a->force, "Replace an existing output");
  cmd->add_flag("--no-sync", a->no_sync, "Do not wait until the output is on disk");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
