#include "compress/estimate.h"

#include <algorithm>
#include <cmath>

#include "compress/encode.h"
#include "container/blob.h"

namespace occ {
namespace {

constexpr size_t kFewestRows = 64;  // fewest rows of a sample, for statistics of columns

}  // namespace

Matrix<float> sample_rows(const RowSource& source, size_t elements) {
  const Shape shape = source.shape();
  const size_t wanted = std::max(kFewestRows, elements / std::max<size_t>(1, shape.cols));
  const size_t rows = 2 * wanted > shape.rows ? shape.rows : wanted;
  Matrix<float> sample = Matrix<float>::uninitialized(rows, shape.cols);
  if (rows == shape.rows) {
    source.read_rows(0, sample.view());
    return sample;
  }
  for (size_t r = 0; r < rows; ++r) {
    source.read_rows(sampled_row(r, rows, shape.rows), sample.view().row_range(r, 1));
  }
  return sample;
}

Estimate estimate_blob(const Recipe& recipe, MatrixView<const float> sample, size_t rows, const FitContext& ctx,
                       const std::string& what) {
  FitContext quiet = ctx;
  quiet.fallbacks = nullptr;
  if (sample.rows() != rows) quiet.row_gains = {};
  std::vector<double> weights;
  if (!ctx.row_weights.empty() && sample.rows() != rows) {
    for (size_t r = 0; r < sample.rows(); ++r) {
      weights.push_back(ctx.row_weights[sampled_row(r, sample.rows(), rows)]);
    }
    quiet.row_weights = weights;
  }
  const EncodedMatrix m = encode_matrix(recipe, MatrixSource(sample), quiet, what);
  const double nmse = m.distortion.nmse();
  const double share = static_cast<double>(rows) / static_cast<double>(std::max<size_t>(1, sample.rows()));
  Estimate estimate{static_cast<double>(m.blob.size()), std::isfinite(nmse) ? nmse : 1,
                    m.distortion.reference_energy() * share, m.weighted_error};
  const std::vector<ByteSpan> planes = unpack_blob(m.blob, what);
  uint64_t used = varint_bytes(planes.size());
  for (const ByteSpan& plane : planes) used += varint_bytes(plane.size()) + plane.size();
  estimate.padding = static_cast<double>(m.blob.size() - used);
  estimate.bytes += (share - 1) * static_cast<double>(m.growing_bytes);
  return estimate;
}

}  // namespace occ
