#include "compress/coordinates.h"

#include <cmath>

#include "base/error.h"
#include "compress/estimate.h"

namespace occ {
namespace {

constexpr double kWorthwhile =
    0.01;  // bits per weight that a transform must save: more than a sample errs, and worth its time

struct Candidate {
  std::string_view name;
  std::string prefix;
};

std::vector<Candidate> candidates(Shape shape, size_t sampled_rows, uint64_t seed) {
  std::vector<Candidate> list = {{"identity", ""}};
  if (shape.cols < 2) return list;
  list.push_back({"rowscale", "rowscale > "});
  list.push_back({"hadamard", fmt::format("signs(seed={}) > hadamard > ", seed)});
  list.push_back({"dct", "dct > "});
  // A full basis costs 16 cols / rows bits per weight, and the sample must be tall enough to tell what it would gain.
  if (shape.cols <= 1024 && shape.rows >= 16 * shape.cols && sampled_rows >= 4 * shape.cols) {
    list.push_back({"pca", "pca > "});
  }
  return list;
}

}  // namespace

CoordinateChoice choose_coordinates(const Method& method, const RowSource& source, double step, size_t sample_elements,
                                    const FitContext& ctx, const std::string& what) {
  const Shape shape = source.shape();
  const Matrix<float> sample = sample_rows(source, sample_elements);
  const std::string tail = method.recipe_at(step, ctx.effort).print();
  FitContext plain = ctx;  // the choice rests on how values are distributed, which feedback hardly changes
  plain.hessian = {};
  double first = 0, best = 0;
  Candidate chosen;
  std::string others;
  for (const Candidate& c : candidates(shape, sample.rows(), ctx.seed)) {
    const Estimate e = estimate_blob(Recipe::parse(c.prefix + tail), sample.view(), shape.rows, plain, what);
    const double rate = 8 * e.bytes / static_cast<double>(shape.size());
    const double score = e.nmse > 0 && e.nmse < 1 ? rate + 0.5 * std::log2(e.nmse) : 0;
    if (c.prefix.empty()) {
      first = best = score;
      chosen = c;
    } else {
      others += fmt::format("{}{} {:+.3f}", others.empty() ? "" : ", ", c.name, score - first);
      if (score < best && score < first - kWorthwhile) {
        best = score;
        chosen = c;
      }
    }
  }
  CoordinateChoice choice{chosen.prefix, std::string(chosen.name)};
  if (!others.empty()) choice.why += fmt::format(" (bits per weight against identity: {})", others);
  return choice;
}

}  // namespace occ
