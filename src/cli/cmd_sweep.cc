#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "cli/cli.h"
#include "cli/run_progress.h"
#include "io/json.h"
#include "report/sweep.h"
#include "report/sweep_file.h"
#include "report/table.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

struct SweepArguments {
  std::string input, output, methods;
  SweepOptions options;
  bool json = false, force = false;
};

// A folder that holds files of these names, but no earlier sweep, is someone else's.
void prepare_folder(const SweepArguments& a) {
  const fs::path folder = a.output;
  for (const fs::path& input : {fs::path(a.input), a.options.calibrate, a.options.text}) {
    if (input.empty()) continue;
    require_not_input(folder, input);
    for (const char* name : {kSweepCells, kSweepTable, kSweepPage}) require_not_input(folder / name, input);
  }
  if (fs::exists(folder) && !fs::exists(folder / kSweepCells)) {
    for (const char* name : {kSweepTable, kSweepPage}) require_writable_target(folder / name, a.force);
  }
}

std::string plus_minus(const std::optional<double>& v, const std::optional<double>& error) {
  return !v ? "" : number(*v) + (error ? " +- " + number(*error, 2) : "");
}

// The loss by which the cells are compared, beside the nmse: its name and its value with the standard error.
struct Loss {
  const char* heading;
  std::string (*text)(const SweepCell&);
  bool (*has)(const SweepCell&);
};
constexpr Loss kLosses[] = {
    {"KL", [](const SweepCell& c) { return plus_minus(c.kl, c.kl_stderr); },
     [](const SweepCell& c) { return c.kl.has_value(); }},
    {"perplexity", [](const SweepCell& c) { return plus_minus(c.perplexity, c.perplexity_stderr); },
     [](const SweepCell& c) { return c.perplexity.has_value(); }},
    {"embeddings", [](const SweepCell& c) { return plus_minus(c.embedding_cosine, c.embedding_cosine_stderr); },
     [](const SweepCell& c) { return c.embedding_cosine.has_value(); }},
    {"spearman", [](const SweepCell& c) { return plus_minus(c.spearman, {}); },
     [](const SweepCell& c) { return c.spearman.has_value(); }},
    {"row cosine", [](const SweepCell& c) { return plus_minus(c.row_cosine, {}); },
     [](const SweepCell& c) { return c.row_cosine.has_value(); }},
    {"recall@10", [](const SweepCell& c) { return plus_minus(c.recall, c.recall_stderr); },
     [](const SweepCell& c) { return c.recall.has_value(); }},
};

void print_sweep(const SweepArguments& a, const Sweep& s, const Globals& globals) {
  std::vector<const Loss*> losses;
  for (const Loss& l : kLosses) {
    if (std::any_of(s.cells.begin(), s.cells.end(), l.has)) losses.push_back(&l);
  }
  std::vector<Column> columns = {{"method", ColumnKind::kText}, {"bits"}, {"bytes"}, {"bpw"}, {"ratio"}, {"nmse"}};
  for (const Loss* l : losses) columns.push_back({l->heading});
  columns.push_back({"limit bpw", ColumnKind::kDetail});
  columns.push_back({"seconds", ColumnKind::kDetail});
  columns.push_back({"", ColumnKind::kText});
  Table table(columns);
  for (const SweepCell& c : s.cells) {
    std::vector<std::string> row = {c.method, fmt::format("{:g}", c.asked)};
    if (c.state == SweepCell::State::kDone) {
      row.push_back(fmt::format("{}", c.bytes));
      row.push_back(number(c.bpw));
      row.push_back(number(static_cast<double>(s.input_bytes) / static_cast<double>(c.bytes), 3));
      row.push_back(number(c.nmse));
      for (const Loss* l : losses) row.push_back(l->text(c));
      row.push_back(number(c.limit_bpw));
      row.push_back(number(c.seconds, 3));
      row.emplace_back(c.pareto ? "Pareto" : "");
    } else {
      row.resize(columns.size() - 1);
      row.push_back("failed: " + c.error);
    }
    table.add(std::move(row));
  }
  if (!globals.quiet) table.print(globals.verbose);
  std::set<std::string> notes;  // most are those of every cell
  for (const SweepCell& c : s.cells) notes.insert(c.notes.begin(), c.notes.end());
  if (!globals.quiet && globals.verbose) {
    for (const std::string& n : notes) print_note(n);
  }
  std::printf("%s, %s\n", (fs::path(a.output) / kSweepPage).c_str(), (fs::path(a.output) / kSweepTable).c_str());
}

// Share of a cell that is done. Most of the time is that of the compression.
double share_of(const std::string& phase, double done) {
  if (phase == "compare") return 0.7 + 0.05 * done;
  if (phase == "text" || phase == "embed") return 0.75 + 0.25 * done;
  return phase == "compress" ? 0.7 * done : 0;
}

Sweep sweep_with_progress(SweepArguments& a, const Globals& globals) {
  constexpr uint64_t kParts = 1000;  // of a cell
  RunProgress line(globals);
  std::map<size_t, double> shares;  // of the cells that were begun
  uint64_t most = 0;
  a.options.progress = [&](size_t cell, size_t cells, const char* phase, uint64_t done, uint64_t total) {
    double& share = shares[cell];
    const double here = static_cast<double>(done) / static_cast<double>(std::max<uint64_t>(1, total));
    share = std::max(share, share_of(phase, here));
    double sum = 0;
    for (const auto& [index, s] : shares) sum += s;
    most = std::max(most, static_cast<uint64_t>(sum * kParts));
    line.report("cells", most, cells * kParts);
  };
  a.options.finished = [&](size_t cell, const SweepCell& c, size_t done, size_t cells) {
    shares[cell] = 1;
    if (globals.quiet) return;
    const std::string what =
        c.state == SweepCell::State::kDone
            ? fmt::format("{} bits per weight, nmse {}, {} s", number(c.bpw), number(c.nmse), number(c.seconds, 3))
            : "failed: " + c.error;
    line.say(fmt::format("{} of {}, {} at {:g} bits: {}", done, cells, c.method, c.asked, printable(what, 2000)));
  };
  return run_sweep(a.input, a.output, a.options);
}

void run(SweepArguments& a, const Globals& globals) {
  SweepOptions& o = a.options;
  o.methods = split_methods(a.methods);
  o.threads = globals.threads;
  o.command = globals.command;
  for (const double b : o.bits) {
    if (!(b > 0 && b <= 32)) throw_usage("--bits: expected numbers above 0 and up to 32, found {:g}", b);
  }
  if (o.calibrate.empty() && o.calibration_tokens != 0) throw_usage("--calibration-tokens: expected with --calibrate");
  if (o.text.empty() && (o.max_tokens != 0 || o.limit != 0)) {
    throw_usage("--max-tokens and --limit: expected with --text");
  }
  prepare_folder(a);
  const OutputLock lock(a.output);
  const Sweep s = sweep_with_progress(a, globals);
  if (a.json) {
    print_json(to_json(s));
  } else {
    print_sweep(a, s, globals);
  }
  if (s.failed() != 0) throw_failed("{} of {} cells failed, the others are done", s.failed(), s.cells.size());
}

}  // namespace

void add_sweep(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("sweep", "Several methods at several rates: a table and a page of rate and loss");
  auto a = std::make_shared<SweepArguments>();
  cmd->add_option("input", a->input, "HF folder, .safetensors, .gguf, .npy, .npz, .fvecs, .bvecs, .ivecs or .occ")
      ->required();
  cmd->add_option("--methods", a->methods, "NAME(PARAMS),NAME,..., see 'occ methods'")->required();
  cmd->add_option("--bits", a->options.bits, "Rates, as `compress --bits` gets them: 2,3,4")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->required();
  cmd->add_option("-o,--output", a->output, "Folder to write index.html, sweep.csv and cells.json to")->required();
  cmd->add_option("--calibrate", a->options.calibrate,
                  "Text to calibrate models with (default: nothing is calibrated)");
  cmd->add_option("--calibration-tokens", a->options.calibration_tokens, "Tokens of it to use (default 128 sequences)");
  cmd->add_option("--text", a->options.text,
                  "Language models: text for KL and perplexity; encoders: pairs, as `evaluate --pairs` gets them");
  cmd->add_option("--max-tokens", a->options.max_tokens, "Only the first so many tokens of that text (default: all)");
  cmd->add_option("--limit", a->options.limit, "Only the first so many pairs (default: all)");
  cmd->add_option("--effort", a->options.effort, "As `compress --effort`")->check(CLI::Range(1, 9));
  cmd->add_option("--seed", a->options.seed, "Seed of everything random")->capture_default_str();
  cmd->add_flag("--force", a->force, "Replace a sweep.csv or index.html that is no sweep's");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->footer(
      "Cells that an earlier sweep into the same folder has finished are not done again, unless the input, a text or "
      "an option has changed. A cell that fails does not stop the others; the exit code is then 1.");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
