// Analyses of tensors as JSON: what `occ analyze --json` prints of every tensor, and the file from which an interrupted
// analysis goes on.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compress/analysis.h"

namespace occ {

// An object with the keys that docs/reference/json.md has under tensors[] of `occ analyze`.
nlohmann::ordered_json to_json(const TensorAnalysis& t);

// The finished tensors of an analysis.
class AnalysisFile {
 public:
  // Reads what an earlier run has left there, if the file exists. `job` is all that figures depend on. Usage error if
  // the file is of another job, input error if it is no such file.
  AnalysisFile(std::filesystem::path path, std::string job);
  std::optional<TensorAnalysis> find(const std::string& tensor) const;
  // Adds a tensor and writes the file anew, under another name that it gets rid of when it is complete.
  void add(const TensorAnalysis& t);

 private:
  std::filesystem::path path_;
  std::string job_;
  std::vector<TensorAnalysis> tensors_;
};

}  // namespace occ
