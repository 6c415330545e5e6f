#include "report/analysis_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace occ {
namespace {

// A running mean: adds a value that stands for `weight` of `total` weights, the new ones included.
void add_to_mean(double* mean, double value, double weight, double total) { *mean += (value - *mean) * weight / total; }

}  // namespace

std::string AnalysisSummary::winners() const {
  std::vector<const SystemSummary*> order;
  for (const SystemSummary& s : systems) {
    if (s.wins > 0) order.push_back(&s);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->wins > b->wins; });
  std::string out;
  for (const SystemSummary* s : order) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", s->name, s->wins);
  return out;
}

AnalysisSummary summarize(std::span<const TensorAnalysis> tensors, std::span<const size_t> members) {
  AnalysisSummary out;
  std::vector<double> weights, coded;  // of the systems
  double total = 0;
  for (const size_t i : members) {
    const TensorAnalysis& t = tensors[i];
    const auto n = static_cast<double>(t.elements);
    ++out.tensors;
    out.elements += t.elements;
    total += n;
    if (total == 0) continue;
    const double own = t.systems[0].bits.value_or(0);
    add_to_mean(&out.identity_bits, own, n, total);
    add_to_mean(&out.gain, t.gain, n, total);
    for (size_t k = 0; k < t.systems.size(); ++k) {
      const SystemFigures& f = t.systems[k];
      size_t at = 0;
      while (at < out.systems.size() && out.systems[at].name != f.name) ++at;
      if (at == out.systems.size()) {
        out.systems.emplace_back().name = f.name;
        weights.push_back(0);
        coded.push_back(0);
      }
      SystemSummary& s = out.systems[at];
      ++s.tensors;
      s.wins += k == t.best ? 1 : 0;
      weights[at] += n;
      const auto add = [&](double* mean, double value) { add_to_mean(mean, value, n, weights[at]); };
      add(&s.side_bits, f.side_bits);
      s.histogram.resize(std::max(s.histogram.size(), f.histogram.size()));
      for (size_t b = 0; b < f.histogram.size(); ++b) add(&s.histogram[b], f.histogram[b]);
      add(&s.entropy, f.entropy);
      add(&s.max_over_rms, f.max_over_rms);
      add(&s.beyond_3_sigma, f.beyond_3_sigma);
      add(&s.kurtosis, f.kurtosis);
      add(&s.top_1, f.top_1);
      add(&s.top_10, f.top_10);
      add(&s.coding_gain, f.coding_gain);
      if (!f.bits) continue;
      ++s.coded;
      coded[at] += n;
      if (!s.saved_bits) s.saved_bits = 0;
      add_to_mean(&*s.saved_bits, own - *f.bits, n, coded[at]);
    }
  }
  return out;
}

AnalysisSummary summarize(std::span<const TensorAnalysis> tensors) {
  std::vector<size_t> all(tensors.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return summarize(tensors, all);
}

}  // namespace occ
