#include "compress/coordinates.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compress/estimate.h"
#include "metrics/distortion.h"
#include "transforms/lowrank_fit.h"

namespace occ {
namespace {

constexpr double kWorthwhile =
    0.01;  // bits per weight that a transform must save: more than a sample errs, and worth its time
constexpr size_t kFewWeights = 10'000;
constexpr double kWorthwhileComponents = 0.02;
constexpr size_t kMostComponents = 32;

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

// Leading singular components to be coded apart. Their planes cost about 4.6 bits per number (trellis at a step of
// 0.1), and 0.6 % of their energy is lost.
constexpr double kPlaneBits = 4.6, kPlaneLoss = 0.006, kPlaneOverheadBits = 8 * 250;
double plane_bits(size_t rank, Shape shape) {  // per weight
  const double bits = static_cast<double>(rank * (shape.rows + shape.cols)) * kPlaneBits + kPlaneOverheadBits;
  return bits / static_cast<double>(shape.size());
}

// How many would pay if values were Gaussian: a bound of what they save.
size_t best_rank(std::span<const double> squares, double energy, Shape shape, double rate) {
  double sum = 0, most = kWorthwhileComponents;
  size_t best = 0;
  for (size_t r = 1; r <= squares.size(); ++r) {
    sum += squares[r - 1] * (1 - kPlaneLoss);
    const double left = std::max(1 - sum / energy, 1e-9);
    const double saved = std::min(-0.5 * std::log2(left), rate) - plane_bits(r, shape);
    if (saved > most) most = saved, best = r;
  }
  return best;
}

double energy_of(MatrixView<const float> x) {
  DistortionAccumulator d;
  d.add(x, x);
  return d.reference_energy();
}

// Squared leading singular values, without what noise alone would give: those of the sample tell whether it is worth
// looking at the whole matrix.
std::vector<double> leading_squares(MatrixView<const float> x, double energy, uint64_t seed) {
  std::vector<double> squares = leading_singular_values(x, std::min({x.rows(), x.cols(), kMostComponents}), seed);
  const double m = static_cast<double>(x.rows()), n = static_cast<double>(x.cols());
  const double edge = std::pow(std::sqrt(m) + std::sqrt(n), 2) * energy / (m * n);  // Marchenko and Pastur
  for (double& s : squares) s = s * s > edge ? s * s : 0;
  return squares;
}

struct Components {
  size_t rank = 0;
  double energy_left = 1;  // share
  Matrix<float> residual;  // of the sampled rows
};

// The whole matrix is looked at only if the sample promises something.
Components find_components(const RowSource& source, MatrixView<const float> sample, double rate,
                           const FitContext& ctx) {
  const Shape shape = source.shape();
  Components found;
  if (std::min(shape.rows, shape.cols) < 32) return found;
  const double sample_energy = energy_of(sample);
  if (!(sample_energy > 0) || !std::isfinite(sample_energy)) return found;
  if (best_rank(leading_squares(sample, sample_energy, ctx.seed), sample_energy, shape, rate) == 0) return found;
  Matrix<float> x = Matrix<float>::uninitialized(shape.rows, shape.cols);
  source.read_rows(0, x.view());
  const double energy = energy_of(x.view());
  found.rank = best_rank(leading_squares(x.view(), energy, ctx.seed), energy, shape, rate);
  if (found.rank == 0) return found;

  const Params params(find_transform("lowrank")->params, {{"rank", std::to_string(found.rank)}}, "lowrank");
  const std::unique_ptr<Transform> transform = fit_lowrank(params, x.view(), ctx);
  Matrix<float> left(shape.rows, found.rank), right(found.rank, shape.cols);
  const MatrixView<float> planes[] = {left.view(), right.view()};
  transform->forward({0, 0, shape.rows, shape.cols}, x.view(), planes);
  found.residual = Matrix<float>::uninitialized(sample.rows(), shape.cols);
  for (size_t r = 0; r < sample.rows(); ++r) {
    std::copy_n(sample.row(r), shape.cols, found.residual.row(r));
    for (size_t k = 0; k < found.rank; ++k) {
      const float l = left(sampled_row(r, sample.rows(), shape.rows), k);
      for (size_t c = 0; c < shape.cols; ++c) found.residual(r, c) -= l * right(k, c);
    }
  }
  found.energy_left = std::max(energy_of(found.residual.view()) / sample_energy, 1e-9);
  return found;
}

}  // namespace

CoordinateChoice choose_coordinates(const Method& method, const RowSource& source, MatrixView<const float> sample,
                                    double step, const FitContext& ctx, const std::string& what) {
  const Shape shape = source.shape();
  if (shape.size() < kFewWeights) return {"", 1, "identity (too few weights to tell)"};
  const std::string tail = method.recipe_at(step, ctx.effort).print();
  FitContext plain = ctx;  // the choice rests on how values are distributed, which feedback hardly changes
  plain.hessian = {};
  double first = 0, first_rate = 0, best = 0;
  Candidate chosen;
  std::string others;
  for (const Candidate& c : candidates(shape, sample.rows(), ctx.seed)) {
    const Estimate e = estimate_blob(Recipe::parse(c.prefix + tail), sample, shape.rows, plain, what);
    const double rate = 8 * e.bytes / static_cast<double>(shape.size());
    const double score = e.nmse > 0 && e.nmse < 1 ? rate + 0.5 * std::log2(e.nmse) : 0;
    if (c.prefix.empty()) {
      first = best = score;
      first_rate = rate;
      chosen = c;
    } else {
      others += fmt::format("{}{} {:+.3f}", others.empty() ? "" : ", ", c.name, score - first);
      if (score < best && score < first - kWorthwhile) {
        best = score;
        chosen = c;
      }
    }
  }
  double step_factor = 1;
  const Components components =
      ctx.hessian.size() == 0 ? find_components(source, sample, first_rate, plain) : Components{};
  if (components.rank > 0) {
    const double factor = 1 / std::sqrt(components.energy_left);
    const Recipe rest = method.recipe_at(step * factor, ctx.effort);
    const Estimate e = estimate_blob(rest, components.residual.view(), shape.rows, plain, what);
    const double rate = 8 * e.bytes / static_cast<double>(shape.size()) + plane_bits(components.rank, shape);
    const double nmse = e.nmse * components.energy_left + kPlaneLoss * (1 - components.energy_left);
    const double score = rate + 0.5 * std::log2(std::max(nmse, 1e-30));
    others += fmt::format("{}lowrank {:+.3f}", others.empty() ? "" : ", ", score - first);
    if (score < best && score < first - kWorthwhileComponents) {
      constexpr const char* kPlane = "trellis(step=0.1) > rans";
      chosen = {"lowrank",
                fmt::format("lowrank(rank={}) > {{ left: {} ; right: {} }} + ", components.rank, kPlane, kPlane)};
      step_factor = factor;
    }
  }
  CoordinateChoice choice{chosen.prefix, step_factor, std::string(chosen.name)};
  if (!others.empty()) choice.why += fmt::format(" (bits per weight against identity: {})", others);
  return choice;
}

}  // namespace occ
