#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "cli/cli.h"
#include "container/archive_file.h"
#include "report/inventory.h"
#include "report/table.h"
#include "report/tensor_kinds.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct InspectArguments {
  std::string input;
  bool limits = false, json = false;
};

void add_gap(ordered_json* out, const Gap& gap, const std::string& prefix, const char* error) {
  (*out)[error] = finite_or_null(gap.error);
  (*out)[prefix + "limit_bpw"] = finite_or_null(gap.limit_bpw);
  (*out)[prefix + "gap_bits"] = finite_or_null(gap.gap_bits());
  (*out)[prefix + "gap_db"] = finite_or_null(gap.gap_db);
}

// Returns the type in which the file stores the tensor.
std::string type_of(const InventoryEntry& e) {
  return e.record == nullptr && !e.info->stored_type.empty() ? e.info->stored_type
                                                             : std::string(dtype_name(e.info->dtype));
}

void print_inventory_json(const TensorFile& file, const ArchiveFile* archive, const Inventory& inventory) {
  ordered_json tensors = ordered_json::array();
  for (const InventoryEntry& e : inventory.entries) {
    ordered_json t = {{"name", e.info->name},
                      {"shape", e.info->shape},
                      {"dtype", dtype_name(e.info->dtype)},
                      {"bytes", e.bytes},
                      {"bpw", e.bpw()},
                      {"recipe", e.coded() ? ordered_json(e.record->recipe) : ordered_json()}};
    if (archive == nullptr && !e.info->stored_type.empty()) t["stored_type"] = e.info->stored_type;
    ordered_json planes = ordered_json::array();
    for (const auto& [name, bytes] : e.planes) planes.push_back({{"name", name}, {"bytes", bytes}});
    t["planes"] = planes;
    if (e.gap) add_gap(&t, *e.gap, "", "nmse");
    if (e.weighted_gap) add_gap(&t, *e.weighted_gap, "weighted_", "weighted_error");
    tensors.push_back(std::move(t));
  }
  ordered_json out = {{"file_bytes", inventory.file_bytes},
                      {"elements", inventory.all.elements},
                      {"bpw", inventory.bpw_of(inventory.file_bytes)},
                      {"bpw_without_files", inventory.bpw_of(inventory.file_bytes - inventory.side_file_bytes)},
                      {"bpw_without_embeddings", inventory.without_embeddings.bpw()},
                      {"format", file.format()}};
  if (inventory.order_bytes > 0) {
    out["bpw_without_order"] = inventory.bpw_of(inventory.file_bytes - inventory.order_bytes);
  }
  if (archive != nullptr) {
    out["version"] = archive->index().version;
    out["tool"] = archive->index().tool;
    out["seed"] = archive->index().seed;
    out["source_format"] = archive->index().source_format;
  }
  if (const auto gap = inventory.all.gaps.mean()) {
    out["total"] = {{"bpw", gap->bpw}};
    add_gap(&out["total"], *gap, "", "nmse");
  }
  out["tensors"] = tensors;
  print_json(out);
}

// The additional columns of the tables that only some files have.
struct Extras {
  bool limits, weighted, recipes;
};

void add_gap_columns(std::vector<Column>* columns, const Extras& extras) {
  if (extras.limits) columns->insert(columns->end(), {{"nmse"}, {"limit bpw"}, {"gap bits"}, {"gap dB"}});
  if (extras.weighted) columns->insert(columns->end(), {{"weighted error"}, {"limit bpw"}, {"gap bits"}, {"gap dB"}});
}

void add_gap_cells(std::vector<std::string>* row, bool shown, const std::optional<Gap>& gap) {
  if (!shown) return;
  if (!gap) return static_cast<void>(row->insert(row->end(), 4, ""));
  for (const double v : {gap->error, gap->limit_bpw, gap->gap_bits(), gap->gap_db}) row->push_back(number(v));
}

std::vector<std::string> size_cells(uint64_t bytes, double bpw) {
  return {human_bytes(static_cast<double>(bytes)), fmt::format("{}", bytes), number(bpw)};
}

void print_groups(const std::string& what, const Inventory& inventory, const std::vector<TensorGroup>& groups,
                  const Extras& extras) {
  if (groups.empty()) return;
  std::vector<Column> columns = {{what, ColumnKind::kText}, {"tensors"}, {"weights"}, {"size"}, {"bytes"}, {"bpw"}};
  add_gap_columns(&columns, extras);
  Table table(columns);
  const auto add = [&](const std::string& label, const InventoryTotals& t) {
    std::vector<std::string> row = {label, fmt::format("{}", t.tensors), human_count(static_cast<double>(t.elements))};
    const auto sizes = size_cells(t.bytes, t.bpw());
    row.insert(row.end(), sizes.begin(), sizes.end());
    add_gap_cells(&row, extras.limits, t.gaps.mean());
    add_gap_cells(&row, extras.weighted, t.weighted_gaps.mean());
    table.add(std::move(row));
  };
  for (const TensorGroup& g : groups) add(g.label, total_of(inventory.entries, g.members));
  add("all tensors", inventory.all);
  table.print(false);
  std::puts("");
}

void print_tensors(const Inventory& inventory, const Extras& extras, bool verbose) {
  std::vector<Column> columns = {{"tensor", ColumnKind::kText},
                                 {"shape", ColumnKind::kText},
                                 {"type", ColumnKind::kText},
                                 {"size"},
                                 {"bytes"},
                                 {"bpw"}};
  add_gap_columns(&columns, extras);
  if (extras.recipes) columns.push_back({"coded as", ColumnKind::kText});
  Table table(columns);
  for (const InventoryEntry& e : inventory.entries) {
    std::vector<std::string> row = {e.info->name, shape_label(e.info->shape), type_of(e)};
    const auto sizes = size_cells(e.bytes, e.bpw());
    row.insert(row.end(), sizes.begin(), sizes.end());
    add_gap_cells(&row, extras.limits, e.gap);
    add_gap_cells(&row, extras.weighted, e.weighted_gap);
    if (extras.recipes) row.push_back(e.coded() ? e.record->recipe : "kept");
    table.add(std::move(row));
    for (size_t p = 0; verbose && p < e.planes.size(); ++p) {
      const auto& [name, bytes] = e.planes[p];
      table.add({"  " + name, "", "", human_bytes(static_cast<double>(bytes)), fmt::format("{}", bytes)});
    }
  }
  if (const auto gap = inventory.all.gaps.mean(); extras.limits && gap) {
    std::vector<std::string> row = {"coded tensors", "", "", "", "", number(gap->bpw)};
    add_gap_cells(&row, true, gap);
    table.add(std::move(row));
  }
  table.print(verbose);
  std::puts("");
}

void print_total(const std::string& input, const TensorFile& file, const Inventory& i) {
  const std::string bytes = fmt::format("{} ({} bytes)", human_bytes(static_cast<double>(i.file_bytes)), i.file_bytes);
  std::string line = fmt::format("{} ({}): {} tensors, {} elements, {}, {} bits per weight", input, file.format(),
                                 i.all.tensors, i.all.elements, bytes, number(i.bpw_of(i.file_bytes)));
  if (i.side_file_bytes > 0) {
    line += fmt::format(" ({} without its other files)", number(i.bpw_of(i.file_bytes - i.side_file_bytes)));
  }
  if (i.without_embeddings.elements != i.all.elements && i.without_embeddings.elements > 0) {
    line += fmt::format(", {} without embeddings and head", number(i.without_embeddings.bpw()));
  }
  if (i.order_bytes > 0) {
    line += fmt::format(", {} without order bits (the accounting of the paper on qet)",
                        number(i.bpw_of(i.file_bytes - i.order_bytes)));
  }
  std::puts(line.c_str());
}

void run(const InspectArguments& a, const Globals& globals) {
  const std::unique_ptr<TensorFile> file = open_any(a.input);
  const auto* archive = dynamic_cast<const ArchiveFile*>(file.get());
  if (a.limits && archive == nullptr) throw_usage("--limits: {} is no archive", a.input);
  const Inventory inventory = take_inventory(*file, a.limits);
  if (a.json) return print_inventory_json(*file, archive, inventory);
  const bool weighted = std::any_of(inventory.entries.begin(), inventory.entries.end(),
                                    [](const InventoryEntry& e) { return e.weighted_gap.has_value(); });
  const Extras extras{a.limits, weighted, archive != nullptr};
  const bool many = inventory.entries.size() > kShortTable;
  if (many) {
    std::vector<std::string> names;
    for (const InventoryEntry& e : inventory.entries) names.push_back(e.info->name);
    print_groups("kind", inventory, group_by_kind(names), extras);
    print_groups("layer", inventory, group_by_layer(names), extras);
  }
  if (globals.verbose || !many) {
    print_tensors(inventory, extras, globals.verbose);
  } else {
    std::puts("--verbose lists every tensor\n");
  }
  print_total(a.input, *file, inventory);
  print_source_notes(*file, globals);
}

}  // namespace

void add_inspect(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand(
      "inspect", "What any input or archive consists of: by kind of tensor and layer (--verbose: by tensor and plane)");
  auto a = std::make_shared<InspectArguments>();
  cmd->add_option("file", a->input, "Any input format or archive")->required();
  cmd->add_flag("--limits", a->limits, "Distance of every coded tensor from the rate-distortion limits");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
