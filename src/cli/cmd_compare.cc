#include <cstdio>

#include "base/file.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "container/archive_file.h"
#include "report/comparison.h"
#include "report/comparison_page.h"
#include "report/table.h"
#include "report/tensor_kinds.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct CompareArguments {
  std::string a, b, report;
  ComparisonOptions options;
  bool json = false, force = false;
};

ordered_json to_json(const TensorComparison& t) {
  const DistortionAccumulator& d = t.distortion;
  ordered_json out = {{"mse", finite_or_null(d.mse())},         {"nmse", finite_or_null(d.nmse())},
                      {"sqnr_db", finite_or_null(d.sqnr_db())}, {"mae", finite_or_null(d.mae())},
                      {"mre", finite_or_null(d.mre())},         {"cosine", finite_or_null(d.cosine())},
                      {"max_abs", finite_or_null(d.max_abs())}, {"elements", d.elements()}};
  if (t.weighted) out["weighted_nmse"] = finite_or_null(t.weighted->nmse());
  if (t.cosines) {
    out["row_cosine_mean"] = finite_or_null(t.cosines->mean());
    out["row_cosine_p1"] = finite_or_null(t.cosines->percentile(1));
    out["pair_cosine_rmse"] = finite_or_null(t.cosines->pair_rmse());
    out["product_slope"] = finite_or_null(t.cosines->product_slope());
    out["recall_at_10"] = finite_or_null(t.cosines->recall());
    out["recall_stderr"] = finite_or_null(t.cosines->recall_stderr());
  }
  return out;
}

void print_comparison_json(const Comparison& c) {
  ordered_json out = {{"total", to_json(c.total)}};
  out["total"]["bpw"] = c.bpw;
  ordered_json tensors = ordered_json::array();
  for (const TensorComparison& t : c.tensors) {
    ordered_json item = {{"name", t.name}};
    item.update(to_json(t));
    item["bpw"] = t.bpw();
    tensors.push_back(std::move(item));
  }
  out["tensors"] = tensors;
  if (!c.only_in_a.empty()) out["only_in_a"] = c.only_in_a;
  if (c.integer_tensors > 0) out["integer_tensors"] = {{"compared", c.integer_tensors}, {"unequal", c.unequal}};
  print_json(out);
}

// A table of tensors, of kinds or of layers. It has the columns for which the total has figures.
class ComparisonTable {
 public:
  ComparisonTable(const std::string& what, const Comparison& c) : total_(c.total), table_(columns(what, c.total)) {}

  void add(const std::string& label, double bpw, const TensorComparison& t) {
    const DistortionAccumulator& d = t.distortion;
    std::vector<std::string> row = {label};
    for (const double v : {bpw, d.mse(), d.nmse(), d.sqnr_db(), d.mae(), d.mre()}) row.push_back(number(v));
    row.push_back(number(d.cosine(), 6));
    row.push_back(number(d.max_abs()));
    if (total_.weighted) row.push_back(t.weighted ? number(t.weighted->nmse()) : "");
    if (total_.cosines) {
      const CosineFigures& f = *t.cosines;
      for (const double v : {f.mean(), f.percentile(1), f.pair_rmse(), f.product_slope(), f.recall()}) {
        row.push_back(number(v));
      }
    }
    table_.add(std::move(row));
  }
  void print(bool full) const { table_.print(full); }

 private:
  static std::vector<Column> columns(const std::string& what, const TensorComparison& total) {
    std::vector<Column> out = {{what, ColumnKind::kText},
                               {"bpw"},
                               {"mse", ColumnKind::kDetail},
                               {"nmse"},
                               {"sqnr dB"},
                               {"mae", ColumnKind::kDetail},
                               {"mre", ColumnKind::kDetail},
                               {"cosine"},
                               {"max abs"}};
    if (total.weighted) out.push_back({"weighted nmse"});
    if (total.cosines) {
      for (const char* name : {"row cos", "1 %", "pair rmse", "slope", "recall"}) out.push_back({name});
    }
    return out;
  }

  const TensorComparison& total_;
  Table table_;
};

void print_groups(const std::string& what, const Comparison& c, const std::vector<TensorGroup>& groups) {
  if (groups.empty()) return;
  ComparisonTable table(what, c);
  for (const TensorGroup& g : groups) {
    const TensorComparison t = total_of(c.tensors, g.members);
    table.add(fmt::format("{} ({})", g.label, g.members.size()), t.bpw(), t);
  }
  table.print(false);
  std::puts("");
}

void print_comparison(const Comparison& c, const std::string& a, const Globals& globals) {
  for (const std::string& name : c.only_in_a) print_note(fmt::format("'{}' is only in {}", name, a));
  if (c.integer_tensors > 0) {
    print_note(fmt::format("{} tensors of integers, {} of them differ", c.integer_tensors, c.unequal.size()));
  }
  for (const std::string& name : c.unequal) print_note(fmt::format("'{}' differs in type or values", name));
  const bool many = c.tensors.size() > kShortTable, all = !globals.quiet && (globals.verbose || !many);
  if (!globals.quiet && many) {
    std::vector<std::string> names;
    for (const TensorComparison& t : c.tensors) names.push_back(t.name);
    print_groups("kind (tensors)", c, group_by_kind(names));
    print_groups("layer (tensors)", c, group_by_layer(names));
    if (!all) std::puts("--verbose lists every tensor\n");
  }
  ComparisonTable table("tensor", c);
  if (all) {
    for (const TensorComparison& t : c.tensors) table.add(t.name, t.bpw(), t);
  }
  table.add("total", c.bpw, c.total);
  table.print(globals.verbose);
}

void run(CompareArguments& a, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  if (!a.report.empty()) {
    for (const std::string& input : {a.a, a.b, a.options.activations}) {
      if (!input.empty()) require_not_input(a.report, input);
    }
    require_writable_target(a.report, a.force);
  }
  const std::unique_ptr<TensorFile> first = open_any(a.a), second = open_any(a.b);
  if (const ProgressFn bar = progress_bar(globals)) {
    a.options.progress = [bar](uint64_t done, uint64_t total) {
      bar("compare", done * sizeof(float), total * sizeof(float));
    };
  }
  const Comparison c = compare_files(*first, *second, a.options);
  end_progress();
  if (!a.report.empty()) write_file(a.report, comparison_page(c, *first, *second, globals.command));
  if (a.json) return print_comparison_json(c);
  print_comparison(c, a.a, globals);
}

}  // namespace

void add_compare(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand(
      "compare", "Errors of B against A: by kind of tensor, by layer (--verbose: by tensor) and in total");
  auto a = std::make_shared<CompareArguments>();
  cmd->add_option("A", a->a, "Reference: any input format or archive")->required();
  cmd->add_option("B", a->b, "What is measured: any input format or archive")->required();
  cmd->add_option("--tensor", a->options.tensor, "GLOB: only tensors whose name matches");
  cmd->add_option("--activations", a->options.activations,
                  "Tensor file of input vectors x (rows): adds the error of W x for the tensors of that width");
  cmd->add_flag(
      "--cosines", a->options.cosines,
      "Adds how well rows keep their angles: mean and 1st percentile of their cosines, error of the cosines of "
      "pairs, bias of products, recall of the 10 nearest");
  cmd->add_option("--report", a->report, "HTML page to write: bits, bytes and errors of every tensor");
  cmd->add_flag("--force", a->force, "Replace an existing page");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
