#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "cli/run_progress.h"
#include "io/copy_tensor.h"
#include "io/sink.h"
#include "model/convert.h"
#include "model/mended_file.h"
#ifdef OCC_WITH_ENCODER
#include "calibration/gguf_export.h"
#include "calibration/gguf_types.h"
#include "calibration/int4_export.h"
#endif

namespace occ {
namespace {

struct DecompressArguments {
  std::string input, output, tensor, dtype, gguf_type, hf_type;
  bool force = false, no_sync = false, no_calibrate = false;
#ifdef OCC_WITH_ENCODER
  CalibrationOptions calibration;
#endif
};

DType output_dtype(const std::string& name) {
  if (name == "f32") return DType::kF32;
  if (name == "f16") return DType::kF16;
  return DType::kBF16;
}

#ifdef OCC_WITH_ENCODER
// Codes the model again, in the blocks of a GGUF type or as integers of four bits.
void run_coded(DecompressArguments& a, const Globals& globals) {
  const bool gguf = !a.gguf_type.empty(), folder = is_folder_output(a.output);
  if (gguf && std::filesystem::path(a.output).extension() != ".gguf") {
    throw_usage("--gguf-type: expected an output named *.gguf, found '{}'", a.output);
  }
  if (!gguf && !folder) throw_usage("--hf-type: expected a folder as output, found '{}'", a.output);
  if (!a.tensor.empty() || !a.dtype.empty()) {
    throw_usage("--{}: expected without --tensor and --dtype, a whole model is written",
                gguf ? "gguf-type" : "hf-type");
  }
  if (gguf) find_gguf_mixture(a.gguf_type);
  require_not_input(a.output, a.input);
  for (const std::filesystem::path& text : a.calibration.texts) require_not_input(a.output, text);
  require_writable_target(a.output, a.force, folder);
  const OutputLock lock(a.output);
  require_writable_target(a.output, a.force, folder);  // again: another run may have ended
  CompressOptions options;
  options.threads = globals.threads;
  options.sync = !a.no_sync;
  RunProgress progress(globals);
  options.progress = [&](const char* phase, uint64_t done, uint64_t total) { progress.report(phase, done, total); };
  a.calibration.off = a.no_calibrate;
  a.calibration.effort = kCalibratedEffort;
  a.calibration.warn = [&](const std::string& text) { progress.say("warning: " + printable(text, 2000)); };
  a.calibration.announce = [&](const CalibrationPlan& plan) { progress.announce(plan); };
  const CompressReport report = gguf ? write_gguf_blocks(a.input, a.output, a.gguf_type, options, a.calibration)
                                     : write_int4_folder(a.input, a.output, options, a.calibration);
  if (globals.quiet) return;
  std::printf("%s -> %s: %s, %.3f bits per weight\n", a.input.c_str(), a.output.c_str(),
              human_bytes(static_cast<double>(report.file_bytes)).c_str(), report.bpw());
  if (report.loss) {
    std::printf("%s %.4g on %zu tokens %s\n", report.loss_is_cosine ? "1 - cosine" : "KL divergence", *report.loss,
                static_cast<size_t>(report.loss_tokens), report.loss_text.c_str());
  }
  for (const std::string& note : report.notes) print_note(note);
}
#endif

void run(const DecompressArguments& a, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  require_not_input(a.output, a.input);
  const std::unique_ptr<TensorFile> source = open_model_file(a.input);
  print_source_notes(*source, globals);
  // A single tensor is written as it is. A whole model is converted to the form that programs expect of the output.
  const bool to_gguf = std::filesystem::path(a.output).extension() == ".gguf";
  std::unique_ptr<TensorFile> converted;
  if (a.tensor.empty() && is_folder_output(a.output) && is_gguf_model(*source)) converted = as_hugging_face(*source);
  if (a.tensor.empty() && to_gguf && is_hf_model(*source)) converted = as_gguf(*source);
  const TensorFile* file = converted ? converted.get() : source.get();
  if (converted) print_source_notes(*converted, globals);
  std::vector<size_t> chosen;
  std::vector<OutTensor> tensors;
  uint64_t bytes = 0;
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const TensorInfo& t = file->tensors()[i];
    if (!a.tensor.empty() && t.name != a.tensor) continue;
    DType dtype = t.dtype;
    if (!a.dtype.empty() && is_float(t.dtype)) {
      dtype = to_gguf && is_f32_in_gguf(t) ? DType::kF32 : output_dtype(a.dtype);
    }
    chosen.push_back(i);
    tensors.push_back({t.name, dtype, t.shape});
    bytes += t.elements() * dtype_size(dtype);
  }
  if (chosen.empty() && !a.tensor.empty()) throw_usage("--tensor: {} has no tensor '{}'", a.input, a.tensor);
  require_writable_target(a.output, a.force, is_folder_output(a.output));
  const OutputLock lock(a.output);
  require_writable_target(a.output, a.force, is_folder_output(a.output));  // again: another run may have ended
  require_free_space(a.output, bytes);
  SinkOptions options;
  options.side_files = file->side_files();
  options.sync = !a.no_sync;
  const std::unique_ptr<TensorSink> sink = make_tensor_sink(a.output, std::move(options));
  sink->begin(tensors);
  const ProgressFn bar = progress_bar(globals);
  uint64_t done = 0;
  for (size_t k = 0; k < chosen.size(); ++k) {
    copy_tensor(*file, chosen[k], tensors[k].dtype, *sink, [&](uint64_t n) {
      done += n;
      if (bar) bar("write", done, bytes);
    });
  }
  sink->commit();
  end_progress();
  if (!globals.quiet) {
    std::printf("%s -> %s: %zu tensors, %s of values\n", a.input.c_str(), a.output.c_str(), chosen.size(),
                human_bytes(static_cast<double>(bytes)).c_str());
  }
}

}  // namespace

void add_decompress(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("decompress", "Restore an archive, or convert between formats");
  auto a = std::make_shared<DecompressArguments>();
  cmd->add_option("input", a->input, "Archive or any input format")->required();
  cmd->add_option("-o,--output", a->output, ".safetensors, .npy, .fvecs, .gguf, or a folder (Hugging Face layout)")
      ->required();
  cmd->add_option("--tensor", a->tensor, "Only this tensor");
  cmd->add_option("--dtype", a->dtype, "Float type of the output (default: the source's)")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
#ifdef OCC_WITH_ENCODER
  auto* gguf_type =
      cmd->add_option("--gguf-type", a->gguf_type,
                      fmt::format("Block types of a GGUF output, for llama.cpp: {}. The model is calibrated as "
                                  "by 'occ compress'",
                                  fmt::join(gguf_mixture_names(), ", ")));
  cmd->add_option(
         "--hf-type", a->hf_type,
         "int4: linear layers of a folder as integers of four bits in groups of 128 columns (compressed-tensors), "
         "for vLLM and transformers; calibrated likewise")
      ->check(CLI::IsMember({"int4"}))
      ->excludes(gguf_type);
  auto* texts =
      cmd->add_option("--calibrate", a->calibration.texts,
                      "With one of these: text like what the model will see (repeatable). Default: a mixed text")
          ->allow_extra_args(false);
  cmd->add_option("--calibration-tokens", a->calibration.tokens, "Tokens of it to use");
  cmd->add_flag("--no-calibrate", a->no_calibrate, "With one of these: the least error of the weights")
      ->excludes(texts);
#endif
  cmd->add_flag("--force", a->force, "Replace an existing output");
  cmd->add_flag("--no-sync", a->no_sync, "Do not wait until the output is on disk");
  cmd->callback([a, &globals] {
#ifdef OCC_WITH_ENCODER
    if (!a->gguf_type.empty() || !a->hf_type.empty()) return run_coded(*a, globals);
    if (a->no_calibrate || !a->calibration.texts.empty() || a->calibration.tokens != 0) {
      throw_usage("--calibrate, --calibration-tokens and --no-calibrate: expected with --gguf-type or --hf-type");
    }
#endif
    run(*a, globals);
  });
}

}  // namespace occ
