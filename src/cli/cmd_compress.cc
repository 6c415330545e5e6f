#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "cli/cli.h"
#include "cli/run_progress.h"
#include "io/json.h"
#include "occ/calibrate.h"
#include "report/html_report.h"
#include "report/table.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct CompressArguments {
  std::string input, output, size, report;
  std::vector<std::string> tensors;
  bool no_verify = false, no_sync = false, json = false, no_calibrate = false;
  CompressOptions options;
  CalibrationOptions calibration;
  std::optional<int> effort;
};

// Adds notes to the report if no tensor was coded or if the archive is larger than the input.
void note_growth(CompressReport* r) {
  if (std::all_of(r->tensors.begin(), r->tensors.end(), [](const auto& t) { return t.recipe.empty(); })) {
    r->notes.push_back("nothing was coded (--tensor '*=auto' codes vectors, and integers as reals)");
  }
  if (r->file_bytes > r->input_bytes) {
    r->notes.push_back(fmt::format("the archive is {} bytes larger than the input", r->file_bytes - r->input_bytes));
  }
}

void print_report_json(const CompressArguments& a, const CompressReport& r) {
  ordered_json tensors = ordered_json::array();
  for (const TensorReport& t : r.tensors) {
    ordered_json item = {{"name", t.name},
                         {"shape", t.shape},
                         {"dtype", t.dtype},
                         {"elements", t.elements},
                         {"bytes", t.bytes},
                         {"bpw", t.bpw()},
                         {"recipe", t.recipe.empty() ? ordered_json() : ordered_json(t.recipe)},
                         {"nmse", finite_or_null(t.nmse)}};
    if (t.sensitivity) item["sensitivity"] = finite_or_null(*t.sensitivity);
    if (t.limit_bpw) item["limit_bpw"] = finite_or_null(*t.limit_bpw);
    if (t.gap_bits()) item["gap_bits"] = finite_or_null(*t.gap_bits());
    if (t.weighted_error) item["weighted_error"] = finite_or_null(*t.weighted_error);
    if (a.options.dry_run) item["nmse"] = nullptr;
    if (t.bytes == 0 && t.elements != 0) item["bytes"] = item["bpw"] = nullptr;  // unknown until the tensor is coded
    if (!t.stored_type.empty()) item["stored_type"] = t.stored_type;
    if (!t.choice.empty()) item["choice"] = t.choice;
    if (!t.note.empty()) item["note"] = t.note;
    tensors.push_back(std::move(item));
  }
  ordered_json out = {
      {"input", a.input},
      {"output", a.output},
      {"input_bytes", r.input_bytes},
      {"file_bytes", r.file_bytes},
      {"elements", r.elements},
      {"bpw", r.bpw()},
      {"input_bpw", r.elements == 0 ? 0 : 8 * static_cast<double>(r.input_bytes) / static_cast<double>(r.elements)},
      {"nmse", finite_or_null(r.nmse)},
      {"verified", r.verified},
      {"dry_run", a.options.dry_run},
      {"seconds", r.seconds},
      {"peak_bytes", r.peak_bytes},
      {"notes", r.notes},
      {"tensors", tensors}};
  if (r.loss) {
    out["loss"] = finite_or_null(*r.loss);
    out["loss_tokens"] = r.loss_tokens;
    out["loss_text"] = r.loss_text;
  }
  if (a.options.dry_run) out["nmse"] = nullptr;
  if (r.file_bytes == 0) out["file_bytes"] = out["bpw"] = nullptr;
  print_json(out);
}

// Begins with what people want to know first: size, ratio, loss, and what the input had.
void print_summary(const CompressArguments& a, const CompressReport& r) {
  if (a.options.dry_run && r.file_bytes == 0) {
    return static_cast<void>(
        std::printf("%s -> %s: size unknown (dry run, nothing written)\n", a.input.c_str(), a.output.c_str()));
  }
  const double input = static_cast<double>(r.input_bytes), file = static_cast<double>(r.file_bytes);
  std::printf("%s -> %s: %s -> %s%s, %s bits per weight%s", a.input.c_str(), a.output.c_str(),
              human_bytes(input).c_str(), a.options.dry_run ? "about " : "", human_bytes(file).c_str(),
              number(r.bpw()).c_str(), a.options.dry_run ? " (dry run, nothing written)" : "");
  if (r.elements != 0)
    std::printf(", %s times smaller (the input has %s)", number(input / file, 3).c_str(),
                number(8 * input / static_cast<double>(r.elements)).c_str());
  std::puts("");
  if (a.options.dry_run) return;
  if (r.loss) {
    std::printf("%s %s on %llu tokens %s, ", r.loss_is_cosine ? "1 - cosine" : "KL divergence", number(*r.loss).c_str(),
                static_cast<unsigned long long>(r.loss_tokens), r.loss_text.c_str());
  }
  std::printf("nmse %s, %s s, %s\n", number(r.nmse).c_str(), number(r.seconds, 3).c_str(),
              r.verified ? "verified" : "not verified");
}

void print_report(const CompressArguments& a, const CompressReport& r, bool verbose) {
  print_summary(a, r);
  for (const std::string& note : r.notes) print_note(note);
  if (!verbose && r.tensors.size() > kShortTable) return;
  std::puts("");
  Table table({{"tensor", ColumnKind::kText},
               {"shape", ColumnKind::kText},
               {"bytes"},
               {"bpw"},
               {"nmse"},
               {"coded as", ColumnKind::kText}});
  for (const TensorReport& t : r.tensors) {
    const bool kept = t.recipe.empty();
    const bool unknown = t.bytes == 0 && t.elements != 0;
    table.add({t.name, shape_label(t.shape), unknown ? "-" : fmt::format("{}", t.bytes),
               unknown ? "-" : number(t.bpw()), kept || a.options.dry_run ? "" : number(t.nmse),
               kept ? "kept: " + t.note : t.recipe});
    if (verbose && !t.choice.empty()) table.add({"", "", "", "", "", t.choice});
  }
  table.print(verbose);
}

void run(CompressArguments& a, const Globals& globals) {
  CompressOptions& o = a.options;
  o.threads = globals.threads;
  o.verify = !a.no_verify;
  o.sync = !a.no_sync;
  // With calibration the default effort is higher: a better code takes little time compared with the calibration.
  o.effort = a.effort.value_or(o.effort);
  a.calibration.effort = a.effort.value_or(kCalibratedEffort);
  if (!a.size.empty()) o.size = parse_size(a.size);
  for (const std::string& t : a.tensors) {
    const size_t eq = t.find('=');
    if (eq == std::string::npos || eq == 0 || eq + 1 == t.size())
      throw_usage("--tensor: expected GLOB=SPEC, found '{}'", t);
    o.tensors.emplace_back(t.substr(0, eq), t.substr(eq + 1));
  }
  namespace fs = std::filesystem;
  std::vector<fs::path> inputs = a.calibration.texts;
  inputs.insert(inputs.end(), {fs::path(a.input), fs::path(o.activations), fs::path(o.hessian), o.sensitivity});
  for (const fs::path& input : inputs) {
    if (input.empty()) continue;
    require_not_input(a.output, input);
    if (!a.report.empty()) require_not_input(a.report, input);
  }
  if (!a.report.empty() && fs::weakly_canonical(a.report) == fs::weakly_canonical(a.output)) {
    throw_usage("--report: expected another file than the archive, found '{}'", a.report);
  }
  if (!a.report.empty() && o.dry_run) throw_usage("--report: expected without --dry-run, which codes nothing");
  if (!a.report.empty()) require_writable_target(a.report, o.force);
  const bool calibrate = !a.no_calibrate && (!a.calibration.texts.empty() || !decides_errors(o));
  CalibrationOptions& c = a.calibration;
  if (!calibrate && (c.tokens != 0 || c.context != 0 || c.tune_tokens || c.tune_weights != 0)) {
    throw_usage("--calibration-tokens, --context, --tune-tokens and --tune-weights: expected with a calibration");
  }
  CompressReport r;
  {
    RunProgress progress(globals);
    o.progress = [&](const char* phase, uint64_t done, uint64_t total) { progress.report(phase, done, total); };
    c.warn = [&](const std::string& text) { progress.say("warning: " + printable(text, 2000)); };
    c.announce = [&](const CalibrationPlan& plan) { progress.announce(plan); };
    c.off = !calibrate;
    r = compress_model(a.input, a.output, o, c);
  }
  note_growth(&r);
  if (!a.report.empty() && !o.dry_run) {
    write_file(a.report, html_report(r, a.input, a.output, globals.command));
  }
  if (a.json) {
    print_report_json(a, r);
  } else if (!globals.quiet) {
    print_report(a, r, globals.verbose);
  }
}

}  // namespace

void add_compress(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("compress", "Compress a checkpoint or matrix to a .occ archive");
  auto a = std::make_shared<CompressArguments>();
  cmd->add_option("input", a->input, "HF folder, .safetensors, .gguf, .npy, .npz, .fvecs, .bvecs, .ivecs or .occ")
      ->required();
  cmd->add_option("-o,--output", a->output, "Archive to write")->required();
  auto* method =
      cmd->add_option("--method", a->options.method, "Method, name(params), see 'occ methods'")->capture_default_str();
  cmd->add_option("--recipe", a->options.recipe, "Explicit pipeline of stages, see 'occ methods'")->excludes(method);
  cmd->add_option(
      "--bits", a->options.bits,
      fmt::format("{}: most bits per weight of the file, every byte counted (default 4). {}: width of a code, "
                  "scales and whatever else is stored come on top (on small matrices much). {}: bits per "
                  "weight of a tensor, codebooks included. To compare methods use --size",
                  methods_whose_bits_are(BitsAre::kCeiling), methods_whose_bits_are(BitsAre::kWidth),
                  methods_whose_bits_are(BitsAre::kBudget)));
  cmd->add_option("--ratio", a->options.ratio,
                  "Input bytes over file bytes, every byte counted: a ceiling on the file");
  cmd->add_option("--size", a->size, "Most bytes of the file: 45000000, 45M or 1.5GB (decimal), 45MiB (binary)");
  cmd->add_option("--nmse", a->options.nmse, "Smallest file with at most this normalised squared error");
  cmd->add_option("--sensitivity", a->options.sensitivity,
                  "JSON {tensor: loss per weight and unit of nmse}; the rate goes where it counts");
  cmd->add_option("--effort", a->effort,
                  "What time buys: 1 (quick: few tokens to calibrate with, no fine-tuning) to 9 (least loss at a "
                  "size). Sets the states "
                  "of the trellis: 8, 8, 8, 16, 32, 64, 128, 256, 256 (default 6 where a model is calibrated, else 3)");
  cmd->add_option("--tensor", a->tensors, "GLOB=SPEC: recipe, method or 'keep' for the tensors that match (repeatable)")
      ->allow_extra_args(false);
  cmd->add_option("--keep", a->options.keep, "GLOB of tensors to keep as they are (repeatable)")
      ->allow_extra_args(false);
  auto* texts = cmd->add_option("--calibrate", a->calibration.texts,
                                "Text like what the model will see: .txt, .jsonl (text, messages) or a folder of these "
                                "(repeatable). Default for models: a mixed text of occ's own")
                    ->allow_extra_args(false);
  cmd->add_flag("--no-calibrate", a->no_calibrate,
                "Code the weights as exactly as the bytes allow: quick, but models lose several times as much")
      ->excludes(texts);
  cmd->add_option("--calibration-tokens", a->calibration.tokens,
                  "Tokens of it to use (default 128 sequences; with --effort 1 6144 tokens)");
  cmd->add_option("--context", a->calibration.context, "Tokens of a sequence (default 512; with --effort 1 256)");
  cmd->add_option("--tune-tokens", a->calibration.tune_tokens,
                  "Tokens of the rest of it, or of the model's own, to tune norms, biases and scales of rows on "
                  "(default 16384; with --effort 1 and for 0: none)");
  cmd->add_option(
      "--tune-weights", a->calibration.tune_weights,
      "Tune the weights that are not coded yet, on the same tokens, before so many of the layers (default 0: "
      "none; slow)");
  cmd->add_option("--activations", a->options.activations,
                  "Tensor file of input vectors (rows): least error of the outputs, for tensors of that width");
  cmd->add_option("--hessian", a->options.hessian,
                  "Tensor file with second moments E[x x^T] of the inputs of each tensor, by its name");
  cmd->add_option("--lora", a->calibration.lora, "Folder of a PEFT adapter (LoRA) to merge into the weights first");
  cmd->add_option("--report", a->report, "HTML page to write about every tensor");
  cmd->add_option("--seed", a->options.seed, "Seed of everything random")->capture_default_str();
  cmd->add_flag("--resume", a->options.resume, "Go on from the finished tensors of an interrupted run");
  cmd->add_flag("--force", a->options.force, "Replace an existing output");
  cmd->add_flag("--no-verify", a->no_verify, "Do not re-read and decode what was written");
  cmd->add_flag("--no-sync", a->no_sync, "Do not wait until the output is on disk");
  cmd->add_flag("--dry-run", a->options.dry_run, "Only print what would be done");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->footer(
      "Vectors, norms, biases, routers of experts and integers are kept as they are unless --tensor says otherwise.");
  const CLI::Validator not_empty([](const std::string& text) { return text.empty() ? "expected a value" : ""; }, "",
                                 "not_empty");
  for (const char* name : {"--method", "--recipe", "--size", "--tensor", "--keep", "--output", "--activations",
                           "--hessian", "--calibrate", "--report", "--lora"}) {
    cmd->get_option(name)->check(not_empty);
  }
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
