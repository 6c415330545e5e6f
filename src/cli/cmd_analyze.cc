#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "calibration/original_moments.h"
#include "cli/cli.h"
#include "compress/analysis.h"
#include "compress/integers_as_reals.h"
#include "compress/join.h"
#include "container/archive_file.h"
#include "io/json.h"
#include "report/analysis_file.h"
#include "report/analysis_page.h"
#include "report/analysis_summary.h"
#include "report/table.h"
#include "report/tensor_kinds.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct AnalyzeArguments {
  std::string input, activations, report, resume;
  bool force = false;
  std::filesystem::path text;  // to calibrate with
  CalibrationOptions calibration;
  AnalysisOptions options;
  bool json = false;
};

void print_analysis_json(const AnalyzeArguments& a, const std::vector<TensorAnalysis>& tensors) {
  const AnalysisSummary summary = summarize(tensors);
  ordered_json out = {{"input", a.input},
                      {"elements", summary.elements},
                      {"identity_bits", summary.identity_bits},
                      {"saved_bits", summary.gain}};
  for (const SystemSummary& s : summary.systems) {
    out["systems"].push_back({{"name", s.name},
                              {"tensors", s.tensors},
                              {"coded", s.coded},
                              {"wins", s.wins},
                              {"saved_bits", finite_or_null(s.saved_bits)},
                              {"side_bits", s.side_bits}});
  }
  for (const TensorAnalysis& t : tensors) out["tensors"].push_back(to_json(t));
  print_json(out);
}

std::string signed_bits(double bits) { return fmt::format("{:+.3f}", bits); }

void print_systems(const TensorAnalysis& t) {
  std::printf("\n%s\n", printable(t.name, 2000).c_str());
  Table table({{"system", ColumnKind::kText},
               {"bpw"},
               {"side"},
               {"entropy"},
               {"max/rms"},
               {"3 sigma", ColumnKind::kDetail},
               {"kurtosis"},
               {"top 1 %"},
               {"top 5 %", ColumnKind::kDetail},
               {"top 10 %"},
               {"rank"},
               {"coding gain"}});
  for (const SystemFigures& f : t.systems) {
    table.add({f.name, f.bits ? fmt::format("{:.3f}", *f.bits) : "-", fmt::format("{:.3f}", f.side_bits),
               fmt::format("{:.3f}", f.entropy), number(f.max_over_rms), number(f.beyond_3_sigma), number(f.kurtosis),
               number(f.top_1), number(f.top_5), number(f.top_10), number(f.effective_rank), number(f.coding_gain)});
  }
  table.print(true);
}

void print_groups(const std::string& what, const std::vector<TensorAnalysis>& tensors,
                  const std::vector<TensorGroup>& groups) {
  if (groups.empty()) return;
  Table table({{what, ColumnKind::kText}, {"tensors"}, {"weights"}, {"bpw"}, {"saved"}, {"best", ColumnKind::kText}});
  const auto add = [&](const std::string& label, const AnalysisSummary& s) {
    table.add({label, fmt::format("{}", s.tensors), human_count(static_cast<double>(s.elements)),
               fmt::format("{:.3f}", s.identity_bits), fmt::format("{:.3f}", s.gain), s.winners()});
  };
  for (const TensorGroup& g : groups) add(g.label, summarize(tensors, g.members));
  add("all tensors", summarize(tensors));
  table.print(false);
  std::puts("");
}

// What becomes of all tensors in every system.
void print_summary(const AnalysisSummary& summary) {
  Table table({{"system", ColumnKind::kText},
               {"tensors"},
               {"coded"},
               {"wins"},
               {"saved bpw"},
               {"side"},
               {"entropy"},
               {"max/rms"},
               {"3 sigma", ColumnKind::kDetail},
               {"kurtosis"},
               {"top 1 %"},
               {"top 10 %", ColumnKind::kDetail},
               {"coding gain"}});
  for (const SystemSummary& s : summary.systems) {
    table.add({s.name, fmt::format("{}", s.tensors), fmt::format("{}", s.coded), fmt::format("{}", s.wins),
               s.saved_bits ? signed_bits(*s.saved_bits) : "-", fmt::format("{:.3f}", s.side_bits),
               fmt::format("{:.3f}", s.entropy), number(s.max_over_rms), number(s.beyond_3_sigma), number(s.kurtosis),
               number(s.top_1), number(s.top_10), number(s.coding_gain)});
  }
  table.print(false);
  std::puts("");
}

void print_analysis(const AnalyzeArguments& a, const std::vector<TensorAnalysis>& tensors, const Globals& globals) {
  if (!globals.quiet) {
    Table table({{"tensor", ColumnKind::kText},
                 {"shape", ColumnKind::kText},
                 {"bpw"},
                 {"best", ColumnKind::kText},
                 {"saved"},
                 {"error", ColumnKind::kDetail}});
    for (const TensorAnalysis& t : tensors) {
      table.add({t.name, shape_label(t.shape), fmt::format("{:.3f}", t.systems[0].bits.value_or(0)),
                 t.systems[t.best].name, fmt::format("{:.3f}", t.gain),
                 number(t.error) + (t.weighted ? " (outputs)" : "")});
    }
    table.print(globals.verbose);
    if (globals.verbose) {
      for (const TensorAnalysis& t : tensors) print_systems(t);
    }
    std::puts("");
    std::vector<std::string> names;
    for (const TensorAnalysis& t : tensors) names.push_back(t.name);
    if (tensors.size() > 1) print_groups("kind", tensors, group_by_kind(names));
    if (tensors.size() > 1) print_groups("layer", tensors, group_by_layer(names));
  }
  const AnalysisSummary summary = summarize(tensors);
  print_summary(summary);
  std::printf("%s: %s bits per weight in its own coordinates, %s less in the best ones (%s)\n", a.input.c_str(),
              fmt::format("{:.3f}", summary.identity_bits).c_str(), fmt::format("{:.3f}", summary.gain).c_str(),
              summary.winners().c_str());
}

// All that the figures of a tensor depend on.
std::string job(const AnalyzeArguments& a) {
  std::string out = fmt::format("{}, bits {:.17g}, seed {}, {}", tool_name(), a.options.bits, a.options.seed,
                                describe_files(a.input));
  if (!a.activations.empty()) out += "activations " + describe_files(a.activations);
  if (!a.text.empty()) {
    out += fmt::format("text {}{} tokens", describe_files(a.text), a.calibration.tokens);
  }
  return out;
}

void run(AnalyzeArguments& a, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  CompressOptions asked;
  if (!a.options.tensor.empty()) asked.tensors.emplace_back(a.options.tensor, "trellis");
  const std::unique_ptr<TensorFile> source = integers_as_reals(open_any(a.input), asked);
  if (a.text.empty() && a.calibration.tokens != 0) {
    throw_usage("--calibration-tokens: expected with --calibrate TEXT");
  }
  if (!a.report.empty()) {
    for (const std::string& input : {a.input, a.activations, a.text.string()}) {
      if (!input.empty()) require_not_input(a.report, input);
    }
    require_writable_target(a.report, a.force);
  }
  if (const ProgressFn bar = progress_bar(globals, "weights")) {
    a.options.progress = [bar](uint64_t done, uint64_t total) { bar("analyze", done, total); };
  }
  std::optional<MomentSource> activations;
  std::unique_ptr<CalibrationSource> calibration;
  if (!a.activations.empty()) {
    activations.emplace(a.activations, "", MatrixView<const double>());
    a.options.moments = [&](const std::string& tensor, size_t cols) { return activations->find(tensor, cols); };
  } else if (!a.text.empty()) {
    a.calibration.texts = {a.text};
    calibration = calibrate_original(*source, a.calibration, progress_bar(globals, "steps"));
    a.options.moments = [&](const std::string& tensor, size_t) -> std::shared_ptr<const Moments> {
      const auto known = calibration->find(tensor);
      return known ? known->moments : nullptr;
    };
  }
  std::optional<AnalysisFile> finished;
  if (!a.resume.empty()) {
    require_not_input(a.resume, a.input);
    finished.emplace(a.resume, job(a));
    a.options.known = [&](const std::string& tensor) { return finished->find(tensor); };
    a.options.finished = [&](const TensorAnalysis& t) { finished->add(t); };
  }
  const std::vector<TensorAnalysis> tensors = analyze_tensors(*source, a.options);
  end_progress();
  if (!a.report.empty()) write_file(a.report, analysis_page(tensors, a.input, globals.command));
  if (a.json) return print_analysis_json(a, tensors);
  print_analysis(a, tensors, globals);
}

}  // namespace

void add_analyze(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand(
      "analyze",
      "Which coordinate system takes the fewest bits at equal error, tensor by tensor (--verbose: all figures)");
  auto a = std::make_shared<AnalyzeArguments>();
  cmd->add_option("input", a->input, "HF folder, .safetensors, .gguf, .npy, .npz, .fvecs, .bvecs, .ivecs or .occ")
      ->required();
  cmd->add_option("--tensor", a->options.tensor, "GLOB: only tensors whose name matches");
  cmd->add_option("--bits", a->options.bits, "Rough bits per weight at which systems are compared")
      ->capture_default_str()
      ->check(CLI::Range(0.5, 12.0));
  auto* activations = cmd->add_option(
      "--activations", a->activations,
      "Tensor file of input vectors (rows): errors are those of the outputs, for tensors of that width");
  cmd->add_option("--calibrate", a->text,
                  "Text: errors are those of the outputs, for the inputs that the model has on it")
      ->excludes(activations);
  cmd->add_option("--calibration-tokens", a->calibration.tokens, "Tokens of it to use (default 16 sequences)");
  cmd->add_option("--report", a->report, "HTML page to write: where which system saves bits");
  cmd->add_flag("--force", a->force, "Replace an existing page");
  cmd->add_option("--resume", a->resume,
                  "File of finished tensors, written as they are done: an interrupted analysis goes on from it");
  cmd->add_option("--seed", a->options.seed, "Seed of everything random")->capture_default_str();
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->footer(
      "Real coding with a trellis; side information counts. Tensors that compress keeps are left out, unless "
      "--tensor names them.");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
