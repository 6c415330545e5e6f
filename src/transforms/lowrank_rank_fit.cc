// Finds how many leading singular components are worth coding as a `lowrank` first term. If r of them are taken away, N
// Gaussian weights of energy E take N / 2 log2(E / E_rest) bits less; the planes cost r (rows + cols) numbers.
#include <algorithm>
#include <cmath>

#include "metrics/distortion.h"
#include "transforms/axis.h"
#include "transforms/first_term.h"
#include "transforms/lowrank.h"
#include "transforms/lowrank_fit.h"

namespace occ {
namespace {

constexpr size_t kMostComponents = 32, kLeastSide = 32;

double plane_bits(size_t rank, Shape shape, const PlaneCost& planes) {  // in bits per weight
  const double bits = static_cast<double>(rank * (shape.rows + shape.cols)) * planes.bits + planes.overhead_bits;
  return bits / static_cast<double>(shape.size());
}

// `squares` are those of the leading singular values, in descending order. Returns 0 if no number of components saves
// enough.
size_t best_rank(std::span<const double> squares, double energy, Shape shape, const FirstTermQuery& query) {
  double sum = 0, most = query.least_gain;
  size_t best = 0;
  for (size_t r = 1; r <= squares.size(); ++r) {
    sum += squares[r - 1] * (1 - query.planes.loss);
    const double left = std::max(1 - sum / energy, 1e-9);
    const double saved = std::min(-0.5 * std::log2(left), query.rate) - plane_bits(r, shape, query.planes);
    if (saved > most) most = saved, best = r;
  }
  return best;
}

double energy_of(MatrixView<const float> x) {
  DistortionAccumulator d;
  d.add(x, x);
  return d.reference_energy();
}

// Returns the squared leading singular values, with 0 for those that noise alone could have.
std::vector<double> leading_squares(MatrixView<const float> x, double energy, uint64_t seed) {
  std::vector<double> squares = leading_singular_values(x, std::min({x.rows(), x.cols(), kMostComponents}), seed);
  const double m = static_cast<double>(x.rows()), n = static_cast<double>(x.cols());
  const double edge = std::pow(std::sqrt(m) + std::sqrt(n), 2) * energy / (m * n);  // Marchenko-Pastur limit for noise
  for (double& s : squares) s = s * s > edge ? s * s : 0;
  return squares;
}

}  // namespace

FirstTerm find_lowrank_term(const FirstTermQuery& query, const FitContext& ctx) {
  const Shape shape = query.source.shape();
  FirstTerm found;
  if (std::min(shape.rows, shape.cols) < kLeastSide) return found;
  const double sample_energy = energy_of(query.sample);
  if (!(sample_energy > 0) || !std::isfinite(sample_energy)) return found;
  if (best_rank(leading_squares(query.sample, sample_energy, ctx.seed), sample_energy, shape, query) == 0) return found;
  Matrix<float> x = Matrix<float>::uninitialized(shape.rows, shape.cols);
  query.source.read_rows(0, x.view());
  const double energy = energy_of(x.view());
  const size_t rank = best_rank(leading_squares(x.view(), energy, ctx.seed), energy, shape, query);
  if (rank == 0) return found;

  const Params params(lowrank_params(), {{"rank", std::to_string(rank)}}, "lowrank");
  const std::unique_ptr<Transform> transform = fit_lowrank(params, x.view(), ctx);
  Matrix<float> left(shape.rows, rank), right(rank, shape.cols);
  const MatrixView<float> planes[] = {left.view(), right.view()};
  transform->forward({0, 0, shape.rows, shape.cols}, x.view(), planes);
  found.residual = Matrix<float>::uninitialized(query.sample.rows(), shape.cols);
  copy_matrix(query.sample, found.residual.view());
  for (size_t r = 0; r < query.sample.rows(); ++r) {
    for (size_t k = 0; k < rank; ++k) {
      const float l = left(query.row_of[r], k);
      for (size_t c = 0; c < shape.cols; ++c) found.residual(r, c) -= l * right(k, c);
    }
  }
  found.stage = "lowrank" + params.print();
  found.bits = plane_bits(rank, shape, query.planes);
  found.energy_left = std::max(energy_of(found.residual.view()) / sample_energy, 1e-9);
  return found;
}

}  // namespace occ
