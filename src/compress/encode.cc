#include "compress/encode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "container/blob.h"
#include "container/index.h"
#include "metrics/limits.h"
#include "metrics/weighted_error.h"
#include "recipe/bound.h"

namespace occ {
namespace {

bool all_finite(MatrixView<const float> x) {
  uint32_t bad = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    const float* row = x.row(r);
    for (size_t c = 0; c < x.cols(); ++c) {
      bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(row[c]) & 0x7f800000) == 0x7f800000);
    }
  }
  return bad == 0;
}

// Passes rows on. Throws at a NaN or infinite value and names its place in the matrix.
class FiniteSource final : public RowSource {
 public:
  FiniteSource(const RowSource& source, const std::string& what) : source_(source), what_(what) {}
  Shape shape() const override { return source_.shape(); }
  void read_rows(size_t row, MatrixView<float> out) const override {
    source_.read_rows(row, out);
    if (!all_finite(out)) fail();
  }

 private:
  [[noreturn]] void fail() const {
    const Shape shape = source_.shape();
    Matrix<float> values = Matrix<float>::uninitialized(1, shape.cols);
    for (size_t r = 0; r < shape.rows; ++r) {
      source_.read_rows(r, values.view());
      for (size_t c = 0; c < shape.cols; ++c) {
        const float v = values(0, c);
        if (std::bit_cast<uint32_t>(v) << 1 >= 0xff000000) {
          throw_input("{}: expected finite values within the range of f32, found {} at row {}, column {}", what_, v, r,
                      c);
        }
      }
    }
    throw_input("{}: changed while it was read", what_);
  }

  const RowSource& source_;
  const std::string& what_;
};

// Sums tr(E H E^T) over chunks of rows. Only for recipes without error feedback, which computes it anyway.
class WeightedError {
 public:
  WeightedError(MatrixView<const double> h, std::span<const double> row_weights, size_t num_chunks)
      : h_(h.rows(), h.cols()), row_weights_(row_weights), chunks_(num_chunks) {
    for (size_t r = 0; r < h.rows(); ++r) std::copy_n(h.row(r), h.cols(), h_.row(r));
  }
  // Adds the rows that begin at `row`.
  void add(size_t chunk, size_t row, MatrixView<const float> reference, MatrixView<const float> values) {
    Matrix<float> e = Matrix<float>::uninitialized(values.rows(), values.cols());
    for (size_t r = 0; r < e.rows(); ++r) {
      const auto weight = row_weights_.empty() ? 1.0f : static_cast<float>(std::sqrt(row_weights_[row + r]));
      for (size_t c = 0; c < e.cols(); ++c) e(r, c) = weight * (reference(r, c) - values(r, c));
    }
    chunks_[chunk] += weighted_energy(e.view(), h_.view());
  }
  double total() const { return std::accumulate(chunks_.begin(), chunks_.end(), 0.0); }

 private:
  Matrix<float> h_;
  std::span<const double> row_weights_;
  std::vector<double> chunks_;
};

}  // namespace

double energy_of(const RowSource& source, const std::string& what, std::span<const double> row_weights) {
  const Shape shape = source.shape();
  const FiniteSource finite(source, what);
  const size_t chunk = 4 * chunk_rows(shape.cols);
  std::vector<double> sums(shape.size() == 0 ? 0 : ceil_div(shape.rows, chunk));
  parallel_for(sums.size(), [&](size_t i) {
    Matrix<float> x = Matrix<float>::uninitialized(std::min(chunk, shape.rows - i * chunk), shape.cols);
    finite.read_rows(i * chunk, x.view());
    for (size_t r = 0; r < x.rows() && !row_weights.empty(); ++r) {
      const auto factor = static_cast<float>(std::sqrt(row_weights[i * chunk + r]));
      for (size_t c = 0; c < x.cols(); ++c) x(r, c) *= factor;
    }
    double partial[8] = {};
    size_t k = 0;
    for (; k + 8 <= x.size(); k += 8) {
      for (size_t j = 0; j < 8; ++j) partial[j] += double{x.data()[k + j]} * double{x.data()[k + j]};
    }
    for (; k < x.size(); ++k) partial[0] += double{x.data()[k]} * double{x.data()[k]};
    for (const double p : partial) sums[i] += p;
  });
  double total = 0;
  for (const double s : sums) total += s;
  return total;
}

Measured measure(const RowSource& source, MatrixView<const float> decoded) {
  const Shape shape = source.shape();
  const size_t chunk = chunk_rows(shape.cols);
  std::vector<uint64_t> hashes(shape.size() == 0 ? 0 : ceil_div(shape.rows, chunk));
  std::vector<DistortionAccumulator> distortions(hashes.size());
  parallel_for(hashes.size(), [&](size_t i) {
    const MatrixView<const float> values = decoded.row_range(i * chunk, std::min(chunk, shape.rows - i * chunk));
    Matrix<float> reference = Matrix<float>::uninitialized(values.rows(), values.cols());
    source.read_rows(i * chunk, reference.view());
    hashes[i] = hash64(values.row(0), values.size() * sizeof(float));
    distortions[i].add(reference.view(), values);
  });
  Measured out;
  out.decoded_hash = hash_of_chunks(hashes);
  for (const DistortionAccumulator& d : distortions) out.distortion.merge(d);
  return out;
}

EncodedMatrix encode_matrix(const Recipe& recipe, const RowSource& source, const FitContext& ctx,
                            const std::string& what, const std::function<void(uint64_t)>& progress,
                            const RowSource* original) {
  const Shape shape = source.shape();
  Matrix<float> values_read;
  const std::unique_ptr<BoundRecipe> bound = fit_recipe(recipe, FiniteSource(source, what), ctx, &values_read);
  const MatrixSource read_source(values_read.view());
  const RowSource& again = values_read.size() != 0 ? static_cast<const RowSource&>(read_source) : source;

  // A panel consists of whole chunks and suits the granule of the recipe. Hashes and errors are computed chunk by
  // chunk, so that they do not depend on the number of threads.
  const size_t chunk = chunk_rows(shape.cols);
  const size_t num_chunks = shape.size() == 0 ? 0 : ceil_div(shape.rows, chunk);
  const size_t granule = bound->granule().rows;
  size_t panel = granule == 0 ? std::max<size_t>(1, shape.rows) : std::lcm(granule, chunk);
  panel *= std::max<size_t>(1, ceil_div(bound->panel_rows(), panel));
  std::vector<uint64_t> source_hashes(num_chunks), decoded_hashes(num_chunks);
  std::vector<DistortionAccumulator> distortions(num_chunks);
  std::vector<double> row_errors(shape.rows);
  const bool weighted = ctx.hessian.size() != 0 && num_chunks != 0;
  std::optional<WeightedError> weighted_error;
  if (weighted && !bound->weighted_errors(row_errors)) {
    weighted_error.emplace(ctx.hessian, ctx.row_weights, num_chunks);
  }
  std::vector<double> row_energies(weighted ? ctx.row_weights.size() : 0);
  parallel_for(num_chunks == 0 ? 0 : ceil_div(shape.rows, panel), [&](size_t p) {
    const Rect at{p * panel, 0, std::min(panel, shape.rows - p * panel), shape.cols};
    Matrix<float> values = Matrix<float>::uninitialized(at.rows, at.cols);
    again.read_rows(at.row, values.view());
    bound->quantize(at, values.view());
    for (size_t row = 0; row < at.rows; row += chunk) {
      const size_t rows = std::min(chunk, at.rows - row);
      Matrix<float> reference = Matrix<float>::uninitialized(rows, at.cols);
      (original != nullptr ? *original : again).read_rows(at.row + row, reference.view());
      const size_t c = (at.row + row) / chunk;
      source_hashes[c] = hash64(reference.data(), reference.size() * sizeof(float));
      decoded_hashes[c] = hash64(values.row(row), reference.size() * sizeof(float));
      distortions[c].add(reference.view(), values.view().row_range(row, rows));
      if (weighted_error) weighted_error->add(c, at.row + row, reference.view(), values.view().row_range(row, rows));
      for (size_t r = 0; r < rows && !row_energies.empty(); ++r) {
        double energy = 0;
        for (size_t k = 0; k < at.cols; ++k) energy += double{reference(r, k)} * double{reference(r, k)};
        row_energies[at.row + row + r] = ctx.row_weights[at.row + row + r] * energy;
      }
      if (progress) progress(reference.size() * sizeof(float));
    }
  });

  values_read = Matrix<float>();

  EncodedMatrix out;
  for (const DistortionAccumulator& d : distortions) out.distortion.merge(d);
  if (weighted) {
    bound->weighted_errors(row_errors);
    for (size_t r = 0; r < ctx.row_weights.size(); ++r) row_errors[r] *= ctx.row_weights[r];
    const double error =
        weighted_error ? weighted_error->total() : std::accumulate(row_errors.begin(), row_errors.end(), 0.0);
    const double energy = row_energies.empty() ? out.distortion.reference_energy()
                                               : std::accumulate(row_energies.begin(), row_energies.end(), 0.0);
    out.weighted_error = relative_to_white(error, energy, ctx.hessian);
    if (!row_energies.empty()) out.row_energies = eigenvalue_profile(row_energies);
  }
  out.source_hash = hash_of_chunks(source_hashes);
  out.decoded_hash = hash_of_chunks(decoded_hashes);
  std::vector<CodedPlane> planes;
  bound->code(ctx, "", &planes);
  for (const CodedPlane& plane : planes) out.growing_bytes += plane.grows ? plane.bytes.size() : 0;
  out.blob = pack_blob(planes);
  return out;
}

}  // namespace occ
