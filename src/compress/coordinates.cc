#include "compress/coordinates.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "compress/estimate.h"

namespace occ {
namespace {

// Bits per weight that a first term must save to be chosen.
constexpr double kWorthwhileTerm = 0.02;
constexpr size_t kFewWeights = 10'000;

// The step for the planes of a first term, in units of their rms, and what these planes then cost.
constexpr double kPlaneStep = 0.1;
constexpr PlaneCost kPlaneCost{.bits = 4.6, .overhead_bits = 8 * 250, .loss = 0.006};

struct Candidate {
  std::string_view name;
  Coordinates coordinates;
};

std::vector<Candidate> candidates(Shape shape, size_t sampled_rows, uint64_t seed) {
  std::vector<Candidate> list;
  for (const TransformEntry& entry : transform_registry()) {
    if (shape.cols < 2 || entry.roles.candidate == nullptr) continue;
    const std::string transforms = entry.roles.candidate(shape, sampled_rows, seed);
    if (!transforms.empty()) list.push_back({entry.name, {.transforms = transforms, .unit_rms = entry.roles.unit_rms}});
  }
  return list;
}

// Returns for example "lowrank(rank=4) > { left: CODE ; right: CODE }".
std::string print_first_term(const TransformEntry& entry, const std::string& stage) {
  std::string text = stage + " > {";
  for (const std::string_view plane : entry.planes) {
    text += fmt::format("{} {}: {}", plane == entry.planes.front() ? "" : " ;", plane, trellis_code(kPlaneStep));
  }
  return text + " }";
}

}  // namespace

Recipe Coordinates::around(const Recipe& code) const {
  std::string text = code.print();
  if (!transforms.empty()) text = transforms + " > " + text;
  if (!first_term.empty()) text = first_term + " + " + text;
  return Recipe::parse(text);
}

std::vector<FirstTermTrial> find_first_terms(const RowSource& source, MatrixView<const float> sample, double rate,
                                             double least_gain, const FitContext& ctx) {
  std::vector<size_t> row_of(sample.rows());
  for (size_t r = 0; r < row_of.size(); ++r) row_of[r] = sampled_row(r, sample.rows(), source.shape().rows);
  std::vector<FirstTermTrial> out;
  for (const TransformEntry& entry : transform_registry()) {
    const FirstTermSearch search = first_term_search(entry);
    if (search == nullptr) continue;
    FirstTerm term = search({source, sample, row_of, rate, least_gain, kPlaneCost}, ctx);
    if (term.stage.empty()) continue;
    Coordinates c{.first_term = print_first_term(entry, term.stage), .step_factor = 1 / std::sqrt(term.energy_left)};
    out.push_back({entry.name, std::move(c), std::move(term)});
  }
  return out;
}

Coordinates choose_coordinates(const Method& method, const RowSource& source, MatrixView<const float> sample,
                               double step, const FitContext& ctx, const std::string& what) {
  const Shape shape = source.shape();
  if (shape.size() < kFewWeights) return {.why = "identity (too few weights to tell)"};
  FitContext plain = ctx;  // the choice depends on the distribution of the values, which feedback hardly changes
  plain.hessian = {};
  const auto estimate = [&](const Coordinates& c, MatrixView<const float> values) {
    const Recipe code = method.recipe_at(step * c.step_factor, ctx.effort);
    return estimate_blob(c.around(code), values, shape.rows, plain, what);
  };
  const auto rate_of = [&](const Estimate& e) { return 8 * e.bytes / static_cast<double>(shape.size()); };
  const auto score_of = [&](const Estimate& e) {
    return e.nmse > 0 && e.nmse < 1 ? rate_of(e) + 0.5 * std::log2(e.nmse) : 0;
  };

  Candidate chosen{"identity", {}};
  const Estimate as_it_is = estimate({}, sample);
  const double first = score_of(as_it_is);
  double best = first;
  std::string others;
  const auto compare = [&](const Candidate& c, double score, double worthwhile) {
    others += fmt::format("{}{} {:+.3f}", others.empty() ? "" : ", ", c.name, score - first);
    if (score >= best || score >= first - worthwhile) return;
    best = score;
    chosen = c;
  };
  for (const Candidate& c : candidates(shape, sample.rows(), ctx.seed)) {
    compare(c, score_of(estimate(c.coordinates, sample)), kWorthwhileBits);
  }
  if (ctx.hessian.size() == 0) {
    for (const FirstTermTrial& t : find_first_terms(source, sample, rate_of(as_it_is), kWorthwhileTerm, plain)) {
      const Estimate e = estimate({.step_factor = t.coordinates.step_factor}, t.term.residual.view());
      const double nmse = e.nmse * t.term.energy_left + kPlaneCost.loss * (1 - t.term.energy_left);
      compare({t.name, t.coordinates}, rate_of(e) + t.term.bits + 0.5 * std::log2(std::max(nmse, 1e-30)),
              kWorthwhileTerm);
    }
  }
  chosen.coordinates.why = chosen.name;
  if (!others.empty()) chosen.coordinates.why += fmt::format(" (bits per weight against identity: {})", others);
  return chosen.coordinates;
}

Coordinates coordinates_by_row_weights(Shape shape) {
  const auto all = transform_registry();
  const auto found =
      std::find_if(all.begin(), all.end(), [](const auto& e) { return e.roles.by_row_weights != nullptr; });
  OCC_CHECK(found != all.end());
  return {.transforms = found->roles.by_row_weights(shape), .why = "weights of the rows"};
}

}  // namespace occ
