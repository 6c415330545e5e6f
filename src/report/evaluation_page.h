// The page of `occ evaluate --report`: what a model loses against a reference, and what both answer to a prompt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "evaluation/encoder_quality.h"
#include "evaluation/perplexity.h"
#include "evaluation/tasks.h"

namespace occ {

// What was measured; the rest has no value or is empty.
struct Evaluation {
  std::string model, reference;  // paths
  uint64_t bytes = 0, reference_bytes = 0;
  std::string text;  // the path of what perplexity, pairs or probe were measured on
  std::optional<PerplexityResult> perplexity;
  std::vector<TaskResult> tasks;
  std::optional<PairsResult> pairs;
  std::optional<ProbeResult> probe;
  std::string prompt, answer;
  std::optional<std::string> reference_answer;
};

// Returns the page (report/html.h). `command` repeats the evaluation.
std::string evaluation_page(const Evaluation& e, const std::string& command);

}  // namespace occ
