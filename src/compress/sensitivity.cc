#include "compress/sensitivity.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json.h"

namespace occ {
namespace {

constexpr double kLeastSensitivity = 1e-9;

}  // namespace

void read_sensitivities(const std::filesystem::path& file, const TensorFile& source, std::vector<PlannedTensor>* plan,
                        std::vector<std::string>* notes) {
  const nlohmann::json json = parse_json_file(file);
  const std::string what = file.string();
  if (!json.is_object()) throw_input("{}: expected an object of tensor names and numbers", what);
  std::vector<std::string> unknown;
  size_t used = 0;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_number() ||
        !(value.get<double>() >= kLeastSensitivity && value.get<double>() <= 1 / kLeastSensitivity)) {
      throw_input("{}: tensor '{}': expected a sensitivity > 0, from {} to {}, found {}", what, printable(name),
                  kLeastSensitivity, 1 / kLeastSensitivity, printable(value.dump()));
    }
    bool found = false;
    for (PlannedTensor& t : *plan) {
      if (source.tensors()[t.index].name != name) continue;
      t.sensitivity = value.get<double>();
      found = true;
      used += t.continuous();
    }
    if (!found) unknown.push_back(printable(name));
  }
  if (!unknown.empty()) {
    notes->push_back(fmt::format("{}: {} names match no tensor, e.g. '{}'", what, unknown.size(), unknown[0]));
  }
  const auto continuous = std::count_if(plan->begin(), plan->end(), [](const auto& t) { return t.continuous(); });
  if (used < static_cast<size_t>(continuous)) {
    notes->push_back(fmt::format("{}: {} of {} coded tensors have no sensitivity, 1 is taken", what,
                                 static_cast<size_t>(continuous) - used, continuous));
  }
}

}  // namespace occ
