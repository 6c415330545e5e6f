#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

namespace occ {

void Metrics::add_request(const std::string& path, int status) {
  constexpr std::array kPaths = {
      "/", "/health", "/metrics", "/v1/completions", "/v1/models", "/v1/embeddings", "/v1/chat/completions"};
  const bool known = std::find(kPaths.begin(), kPaths.end(), path) != kPaths.end();
  const std::lock_guard lock(mutex_);
  ++requests_[{known ? path : "other", status}];
}

std::string Metrics::text(std::span<const std::unique_ptr<ServedModel>> models) const {
  std::string out;
  const auto head = [&](const char* name, const char* type, const char* help) {
    out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  };
  {
    const std::lock_guard lock(mutex_);
    head("occ_requests_total", "counter", "Requests that were answered.");
    for (const auto& [key, count] : requests_) {
      out += fmt::format("occ_requests_total{{path=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
    }
  }
  struct Figure {
    const char *name, *type, *help;
    std::function<double(const SchedulerCounts&)> value;
  };
  const std::vector<Figure> figures = {
      {"occ_running", "gauge", "Completions that the model works on.", [](const auto& c) { return double(c.running); }},
      {"occ_waiting", "gauge", "Completions that wait for their turn.",
       [](const auto& c) { return double(c.waiting); }},
      {"occ_prompt_tokens_total", "counter", "Tokens of prompts that the model computed.",
       [](const auto& c) { return double(c.prompt_tokens); }},
      {"occ_reused_tokens_total", "counter", "Tokens of prompts that were known from other prompts.",
       [](const auto& c) { return double(c.reused_tokens); }},
      {"occ_generated_tokens_total", "counter", "Tokens of answers.",
       [](const auto& c) { return double(c.generated_tokens); }},
      {"occ_prompt_seconds_total", "counter", "Time of the model on prompts.",
       [](const auto& c) { return c.prompt_seconds; }},
      {"occ_generation_seconds_total", "counter", "Time of the model on answers.",
       [](const auto& c) { return c.step_seconds; }},
      {"occ_completions_finished_total", "counter", "Completions that came to their end.",
       [](const auto& c) { return double(c.finished); }},
      {"occ_completions_cancelled_total", "counter", "Completions whose client went away.",
       [](const auto& c) { return double(c.cancelled); }},
      {"occ_completions_failed_total", "counter", "Completions that ended with an error.",
       [](const auto& c) { return double(c.failed); }}};
  std::vector<std::pair<std::string, SchedulerCounts>> counts;
  for (const auto& model : models) {
    if (model->scheduler) counts.emplace_back(model->id, model->scheduler->counts());
  }
  for (const Figure& f : figures) {
    head(f.name, f.type, f.help);
    for (const auto& [id, count] : counts) {
      std::string label;
      for (const char c : id) {
        if (c == '"' || c == '\\') label += '\\';
        label += c == '\n' ? ' ' : c;
      }
      out += fmt::format("{}{{model=\"{}\"}} {}\n", f.name, label, f.value(count));
    }
  }
  return out;
}

}  // namespace occ
