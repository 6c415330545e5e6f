#include "report/sweep_file.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "io/json_fields.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

// Calls body(key, member) for all figures that every finished cell has.
template <typename Cell, typename Body>
void each_cell_figure(Cell& c, const Body& body) {
  body("bpw", c.bpw);
  body("nmse", c.nmse);
  body("cosine", c.cosine);
  body("limit_bpw", c.limit_bpw);
  body("seconds", c.seconds);
}

// The same for those that some have.
template <typename Cell, typename Body>
void each_optional_figure(Cell& c, const Body& body) {
  body("kl", c.kl);
  body("kl_stderr", c.kl_stderr);
  body("perplexity", c.perplexity);
  body("perplexity_stderr", c.perplexity_stderr);
  body("reference_perplexity", c.reference_perplexity);
  body("embedding_cosine", c.embedding_cosine);
  body("embedding_cosine_stderr", c.embedding_cosine_stderr);
  body("spearman", c.spearman);
  body("row_cosine", c.row_cosine);
  body("recall_at_10", c.recall);
  body("recall_stderr", c.recall_stderr);
}

const char* state_name(SweepCell::State state) {
  return state == SweepCell::State::kDone ? "done" : state == SweepCell::State::kFailed ? "failed" : "waiting";
}

SweepCell cell_from_json(const JsonField& field) {
  SweepCell c;
  c.key = field.at("key").string();
  c.method = field.at("method").string();
  c.asked = field.at("bits").real().value_or(0);
  c.command = field.at("command").string();
  c.state = SweepCell::State::kDone;
  c.bytes = field.at("bytes").number(kMostJsonInteger);
  c.calibrated = field.at("calibrated").boolean_or(false);
  each_cell_figure(c, [&](const char* key, double& v) {
    v = field.at(key).real().value_or(std::numeric_limits<double>::quiet_NaN());
  });
  each_optional_figure(c, [&](const char* key, std::optional<double>& v) { v = field.at(key).real(); });
  const JsonField notes = field.at("notes");
  for (size_t i = 0; i < notes.array().size(); ++i) c.notes.push_back(notes.item(i).string());
  return c;
}

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string csv_number(double v) { return std::isfinite(v) ? fmt::format("{}", v) : ""; }

}  // namespace

ordered_json to_json(const SweepCell& c) {
  const bool done = c.state == SweepCell::State::kDone;
  ordered_json out = {{"method", c.method},
                      {"bits", c.asked},
                      {"state", state_name(c.state)},
                      {"error", c.error.empty() ? ordered_json() : ordered_json(c.error)},
                      {"bytes", done ? ordered_json(c.bytes) : ordered_json()}};
  each_cell_figure(c, [&](const char* key, double v) { out[key] = done ? finite_or_null(v) : ordered_json(); });
  each_optional_figure(c, [&](const char* key, const std::optional<double>& v) {
    if (v) out[key] = finite_or_null(*v);
  });
  out["pareto"] = c.pareto;
  out["calibrated"] = c.calibrated;
  out["notes"] = c.notes;
  out["command"] = c.command;
  return out;
}

ordered_json to_json(const Sweep& s) {
  ordered_json limit = ordered_json::array(), cells = ordered_json::array();
  for (const auto& [bits, nmse] : s.limit) limit.push_back({{"bpw", bits}, {"nmse", nmse}});
  for (const SweepCell& c : s.cells) cells.push_back(to_json(c));
  return {{"input", s.input}, {"input_bytes", s.input_bytes}, {"elements", s.elements},
          {"loss", s.loss},   {"failed", s.failed()},         {"limit", limit},
          {"cells", cells}};
}

std::string sweep_csv(const Sweep& s) {
  std::string out = "method,bits,state,bytes,ratio,pareto";
  const SweepCell any;
  each_cell_figure(any, [&](const char* key, double) { out += fmt::format(",{}", key); });
  each_optional_figure(any, [&](const char* key, const std::optional<double>&) { out += fmt::format(",{}", key); });
  out += ",calibrated,error,notes,command\n";
  for (const SweepCell& c : s.cells) {
    const bool done = c.state == SweepCell::State::kDone;
    out += fmt::format("{},{},{},", csv_text(c.method), c.asked, state_name(c.state));
    out += done ? fmt::format("{},{},{}", c.bytes,
                              csv_number(static_cast<double>(s.input_bytes) / static_cast<double>(c.bytes)),
                              c.pareto ? 1 : 0)
                : ",,";
    each_cell_figure(c, [&](const char*, double v) { out += fmt::format(",{}", done ? csv_number(v) : ""); });
    each_optional_figure(
        c, [&](const char*, const std::optional<double>& v) { out += fmt::format(",{}", v ? csv_number(*v) : ""); });
    out += fmt::format(",{},{},{},{}\n", c.calibrated ? 1 : 0, csv_text(c.error),
                       csv_text(fmt::format("{}", fmt::join(c.notes, "; "))), csv_text(c.command));
  }
  return out;
}

std::vector<SweepCell> read_cells(const std::filesystem::path& path) {
  std::vector<SweepCell> out;
  if (!std::filesystem::exists(path)) return out;
  const nlohmann::json read = parse_json_file(path);
  const JsonField cells = JsonField{&read, path.string() + ": $"}.at("cells");
  for (size_t i = 0; i < cells.array().size(); ++i) out.push_back(cell_from_json(cells.item(i)));
  return out;
}

void write_cells(const std::filesystem::path& path, std::span<const SweepCell> cells) {
  ordered_json list = ordered_json::array();
  for (const SweepCell& c : cells) {
    if (c.state != SweepCell::State::kDone) continue;
    ordered_json item = {{"key", c.key}};
    item.update(to_json(c));
    list.push_back(std::move(item));
  }
  const std::string text =
      ordered_json{{"cells", list}}.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  write_file(path, text, false);
}

}  // namespace occ
