#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/glob.h"
#include "cli/cli.h"
#include "container/archive_file.h"
#include "metrics/limits.h"
#include "metrics/rate.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

bool is_embedding(const std::string& name) {
  for (const char* p : {"*embed*", "*embd*", "*wte*", "*wpe*", "*lm_head*", "output.weight"}) {
    if (glob_match(p, name)) return true;
  }
  return false;
}

struct Row {
  const TensorInfo* info;
  uint64_t bytes;
  const TensorRecord* record;  // of an archive; null otherwise
  std::vector<std::pair<std::string, uint64_t>> planes;
  bool coded() const { return record != nullptr && record->coded(); }
  bool weighted() const { return coded() && record->weighted_error && !record->eigenvalues.empty(); }
  double bpw() const { return bits_per_weight(bytes, info->elements()); }
};

// Planes that keep the order of what qet sorted, and their tables: free in the accounting of its paper.
uint64_t order_bytes(const Row& r) {
  uint64_t sum = 0;
  for (const auto& [name, bytes] : r.planes) {
    const std::string last = name.substr(name.rfind('/') + 1);  // npos + 1 is 0
    if (last == "order" || last.starts_with("order.")) sum += bytes;
  }
  return sum;
}

struct Totals {
  uint64_t elements = 0, bytes = 0;
  void add(const Row& r) {
    elements += r.info->elements();
    bytes += r.bytes;
  }
  double bpw(uint64_t all_bytes) const { return bits_per_weight(all_bytes, elements); }
};

// How far a tensor, or all of them together, stands from what no code can beat.
struct Limit {
  double bpw = 0, error = 0, limit = 0, gap_db = 0;
  double gap_bits() const { return bpw - limit; }
};

// iid Gaussian weights of the measured error.
Limit plain_limit(const Row& r) {
  return {r.bpw(), r.record->nmse, gaussian_rate(r.record->nmse), gap_db(r.bpw(), r.record->nmse)};
}

// White Gaussian weights of the same energy (by row, where rows have weights) and the measured error of the outputs:
// reverse water-filling over the eigenvalues of the second moments of the inputs.
Limit weighted_limit(const Row& r) {
  const std::vector<double> variances = profile_variances(r.record->eigenvalues, r.record->row_energies);
  const double error = *r.record->weighted_error;
  const WaterFilling best = water_filling_for_rate(variances, r.bpw());
  return {r.bpw(), error, water_filling_for_distortion(variances, error).rate,
          10 * std::log10(error / best.distortion)};
}

// Of all coded tensors: bits add up, and so do the limits; errors are averaged as if all weights had the same variance.
// Tensors without any error have no limit and stay out.
std::optional<Limit> total_limit(const std::vector<Row>& rows) {
  Limit total;
  double elements = 0;
  for (const Row& r : rows) {
    if (!r.coded() || !(r.record->nmse > 0) || !std::isfinite(r.record->nmse)) continue;
    const auto n = static_cast<double>(r.info->elements());
    total.bpw += n * r.bpw(), total.error += n * r.record->nmse, total.limit += n * gaussian_rate(r.record->nmse);
    elements += n;
  }
  if (elements == 0) return std::nullopt;
  total.bpw /= elements, total.error /= elements, total.limit /= elements;
  total.gap_db = 20 * std::log10(2.0) * total.gap_bits();
  return total;
}

void run(const std::string& input, bool limits, bool json, const Globals& globals) {
  const std::unique_ptr<TensorFile> file = open_any(input);
  const auto* archive = dynamic_cast<const ArchiveFile*>(file.get());
  if (limits && archive == nullptr) throw_usage("--limits: {} is no archive", input);
  std::vector<Row> rows;
  Totals all, inner;  // inner: without embeddings and head
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    Row r{&file->tensors()[i], file->tensors()[i].stored_bytes, archive ? &archive->record(i) : nullptr, {}};
    if (r.coded()) r.planes = archive->planes(i);
    all.add(r);
    if (!is_embedding(r.info->name)) inner.add(r);
    rows.push_back(std::move(r));
  }
  uint64_t order = 0;
  for (const Row& r : rows) order += order_bytes(r);
  uint64_t side_bytes = 0;  // as stored
  if (archive != nullptr) side_bytes = archive->side_file_bytes();
  const uint64_t file_bytes = file->file_bytes();

  if (json) {
    ordered_json tensors = ordered_json::array();
    for (const Row& r : rows) {
      ordered_json t = {{"name", r.info->name},
                        {"shape", r.info->shape},
                        {"dtype", dtype_name(r.info->dtype)},
                        {"bytes", r.bytes},
                        {"bpw", r.bpw()},
                        {"recipe", r.coded() ? ordered_json(r.record->recipe) : ordered_json()}};
      if (archive == nullptr && !r.info->stored_type.empty()) t["stored_type"] = r.info->stored_type;
      ordered_json planes = ordered_json::array();
      for (const auto& [name, bytes] : r.planes) planes.push_back({{"name", name}, {"bytes", bytes}});
      t["planes"] = planes;
      if (limits && r.coded()) {
        const Limit l = plain_limit(r);
        t["nmse"] = finite_or_null(l.error);
        t["limit_bpw"] = finite_or_null(l.limit);
        t["gap_bits"] = finite_or_null(l.gap_bits());
        t["gap_db"] = finite_or_null(l.gap_db);
      }
      if (limits && r.weighted()) {
        const Limit l = weighted_limit(r);
        t["weighted_error"] = finite_or_null(l.error);
        t["weighted_limit_bpw"] = finite_or_null(l.limit);
        t["weighted_gap_bits"] = finite_or_null(l.gap_bits());
        t["weighted_gap_db"] = finite_or_null(l.gap_db);
      }
      tensors.push_back(std::move(t));
    }
    ordered_json out = {{"file_bytes", file_bytes},
                        {"elements", all.elements},
                        {"bpw", all.bpw(file_bytes)},
                        {"bpw_without_files", all.bpw(file_bytes - side_bytes)},
                        {"bpw_without_embeddings", inner.bpw(inner.bytes)},
                        {"format", file->format()}};
    if (order > 0) out["bpw_without_order"] = all.bpw(file_bytes - order);
    if (archive != nullptr) {
      out["version"] = archive->index().version;
      out["tool"] = archive->index().tool;
      out["seed"] = archive->index().seed;
      out["source_format"] = archive->index().source_format;
    }
    if (const auto l = total_limit(rows); limits && l) {
      out["total"] = {{"bpw", l->bpw},
                      {"nmse", l->error},
                      {"limit_bpw", l->limit},
                      {"gap_bits", l->gap_bits()},
                      {"gap_db", l->gap_db}};
    }
    out["tensors"] = tensors;
    return print_json(out);
  }

  std::vector<std::string> headings = {"tensor", "shape", "type", "bytes", "bpw"};
  if (limits) headings.insert(headings.end(), {"nmse", "limit bpw", "gap bits", "gap dB"});
  const bool weighted = limits && std::any_of(rows.begin(), rows.end(), [](const Row& r) { return r.weighted(); });
  if (weighted) headings.insert(headings.end(), {"weighted error", "limit bpw", "gap bits", "gap dB"});
  if (archive != nullptr) headings.emplace_back("recipe");
  Table table(headings);
  const auto add = [](std::vector<std::string>* line, const Limit& l) {
    for (const double v : {l.error, l.limit, l.gap_bits(), l.gap_db}) line->push_back(number(v));
  };
  for (const Row& r : rows) {
    std::string type(dtype_name(r.info->dtype));
    if (archive == nullptr && !r.info->stored_type.empty()) type = r.info->stored_type;
    std::vector<std::string> line = {r.info->name, shape_label(r.info->shape), type, fmt::format("{}", r.bytes),
                                     number(r.bpw())};
    if (limits && r.coded()) {
      add(&line, plain_limit(r));
    } else if (limits) {
      line.insert(line.end(), 4, "");
    }
    if (weighted && r.weighted()) {
      add(&line, weighted_limit(r));
    } else if (weighted) {
      line.insert(line.end(), 4, "");
    }
    if (archive != nullptr) line.push_back(r.coded() ? r.record->recipe : "kept");
    table.add(line);
    if (globals.verbose) {
      for (const auto& [name, bytes] : r.planes) table.add({"  " + name, "", "", fmt::format("{}", bytes), ""});
    }
  }
  if (const auto l = total_limit(rows); limits && l) {
    std::vector<std::string> line = {"coded tensors", "", "", "", number(l->bpw)};
    add(&line, *l);
    table.add(line);
  }
  table.print();
  std::printf("\n%s (%s): %zu tensors, %llu elements, %s, %s bits per weight", input.c_str(), file->format().c_str(),
              rows.size(), static_cast<unsigned long long>(all.elements),
              human_bytes(static_cast<double>(file_bytes)).c_str(), number(all.bpw(file_bytes)).c_str());
  if (side_bytes > 0) std::printf(" (%s without its other files)", number(all.bpw(file_bytes - side_bytes)).c_str());
  if (inner.elements != all.elements && inner.elements > 0) {
    std::printf(", %s without embeddings and head", number(inner.bpw(inner.bytes)).c_str());
  }
  if (order > 0) {
    std::printf(", %s without order bits (the accounting of the paper on qet)",
                number(all.bpw(file_bytes - order)).c_str());
  }
  std::puts("");
}

}  // namespace

void add_inspect(CLI::App& app, const Globals& globals) {
  struct Arguments {
    std::string input;
    bool limits = false, json = false;
  };
  CLI::App* cmd =
      app.add_subcommand("inspect", "List the tensors of any input or archive, with every byte accounted for");
  auto a = std::make_shared<Arguments>();
  cmd->add_option("file", a->input, "Any input format or archive")->required();
  cmd->add_flag("--limits", a->limits, "Distance of every coded tensor from the rate-distortion limits");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->callback([a, &globals] { run(a->input, a->limits, a->json, globals); });
}

}  // namespace occ
