#include "report/analysis_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "io/json_fields.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

// Calls body(key, member) for all figures of a system that are plain numbers.
template <typename Figures, typename Body>
void each_figure(Figures& f, const Body& body) {
  body("side_bits", f.side_bits);
  body("entropy", f.entropy);
  body("max_over_rms", f.max_over_rms);
  body("beyond_3_sigma", f.beyond_3_sigma);
  body("kurtosis", f.kurtosis);
  body("top_1", f.top_1);
  body("top_5", f.top_5);
  body("top_10", f.top_10);
  body("effective_rank", f.effective_rank);
  body("coding_gain", f.coding_gain);
}

TensorAnalysis from_json(const JsonField& field) {
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  TensorAnalysis t;
  t.name = field.at("name").string();
  const JsonField shape = field.at("shape"), systems = field.at("systems");
  for (size_t i = 0; i < shape.array().size(); ++i) t.shape.push_back(shape.item(i).number(kMostJsonInteger));
  t.elements = field.at("elements").number(kMostJsonInteger);
  t.rows = field.at("rows").number(kMostJsonInteger);
  t.sampled_rows = field.at("sampled_rows").number(kMostJsonInteger);
  t.error = field.at("error").real().value_or(kMissing);
  t.weighted = field.at("error_of_outputs").boolean_or(false);
  t.gain = field.at("saved_bits").real().value_or(0);
  for (size_t i = 0; i < systems.array().size(); ++i) {
    const JsonField system = systems.item(i);
    SystemFigures f;
    f.name = system.at("name").string();
    f.recipe = system.at("recipe").string();
    f.bits = system.at("bits").real();
    each_figure(f, [&](const char* key, double& v) { v = system.at(key).real().value_or(kMissing); });
    const JsonField histogram = system.at("histogram");
    for (size_t k = 0; histogram.present() && k < histogram.array().size(); ++k) {
      f.histogram.push_back(histogram.item(k).real().value_or(0));
    }
    if (f.name == field.at("best").string()) t.best = i;
    t.systems.push_back(std::move(f));
  }
  if (t.systems.empty()) systems.wrong("coordinate systems");
  return t;
}

}  // namespace

ordered_json to_json(const TensorAnalysis& t) {
  ordered_json systems = ordered_json::array();
  for (const SystemFigures& f : t.systems) {
    ordered_json item = {{"name", f.name}, {"recipe", f.recipe}, {"bits", finite_or_null(f.bits)}};
    each_figure(f, [&](const char* key, double v) { item[key] = finite_or_null(v); });
    item["histogram"] = f.histogram;
    systems.push_back(std::move(item));
  }
  return {{"name", t.name},
          {"shape", t.shape},
          {"elements", t.elements},
          {"rows", t.rows},
          {"sampled_rows", t.sampled_rows},
          {"error", finite_or_null(t.error)},
          {"error_of_outputs", t.weighted},
          {"best", t.systems[t.best].name},
          {"saved_bits", t.gain},
          {"systems", systems}};
}

AnalysisFile::AnalysisFile(std::filesystem::path path, std::string job)
    : path_(std::move(path)), job_(hash_hex(hash64(job))) {
  if (!std::filesystem::exists(path_)) return;
  const nlohmann::json read = parse_json_file(path_);
  const JsonField all{&read, path_.string() + ": $"};
  if (all.at("analysis").string() != job_) {
    throw_usage("{}: expected tensors of this analysis, found those of another input, other options or another version",
                path_.string());
  }
  const JsonField tensors = all.at("tensors");
  for (size_t i = 0; i < tensors.array().size(); ++i) tensors_.push_back(from_json(tensors.item(i)));
}

std::optional<TensorAnalysis> AnalysisFile::find(const std::string& tensor) const {
  const auto it = std::find_if(tensors_.begin(), tensors_.end(), [&](const auto& t) { return t.name == tensor; });
  return it == tensors_.end() ? std::nullopt : std::optional(*it);
}

void AnalysisFile::add(const TensorAnalysis& t) {
  tensors_.push_back(t);
  ordered_json tensors = ordered_json::array();
  for (const TensorAnalysis& done : tensors_) tensors.push_back(to_json(done));
  write_file(path_, ordered_json{{"analysis", job_}, {"tensors", tensors}}.dump(1) + "\n", false);
}

}  // namespace occ
