// Fits `opq` (opq.cc). The clusters are found by k-means of whole rows. In each cluster two steps alternate: the codes
// c for x V, and for each block of columns the V that brings x V nearest to c, which is U W^T of the singular value
// decomposition x^T c = U S W^T (orthogonal Procrustes problem; Ge et al. 2013, section 3.1.2). The start is V = 1, or
// eigenvectors with balanced products of eigenvalues in the subspaces (section 3.2, best for normal values), whichever
// has the smaller error. V is rounded to f16 in every round.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "linalg/linalg.h"
#include "quantization/opq.h"
#include "tensor/dtype.h"

namespace occ {
namespace {

constexpr size_t kRoundIterations = 4;  // number of k-means iterations in each round

std::vector<uint16_t> identity_bases(size_t cols, size_t block) {
  std::vector<uint16_t> bases;
  for (size_t at = 0; at < cols && block > 1; at += block) {
    const size_t n = std::min(block, cols - at);
    for (size_t i = 0; i < n * n && n > 1; ++i) bases.push_back(f32_to_f16(i % (n + 1) == 0 ? 1.0f : 0.0f));
  }
  return bases;
}

// Returns the rotations of all blocks that bring x [rows, cols] nearest to its decoded codes.
std::vector<uint16_t> procrustes(MatrixView<const float> x, MatrixView<const float> coded, size_t block) {
  std::vector<uint16_t> bases;
  for (size_t at = 0; at < x.cols(); at += block) {
    const size_t n = std::min(block, x.cols() - at);
    if (n == 1) continue;
    Matrix<float> cross(n, n);
    float largest = 0;
    gemm(Op::kTranspose, Op::kNone, 1.0f, x.sub({0, at, x.rows(), n}), coded.sub({0, at, x.rows(), n}), 0.0f,
         cross.view());
    for (size_t i = 0; i < cross.size(); ++i) largest = std::max(largest, std::abs(cross.data()[i]));
    Matrix<double> scaled(n, n);
    for (size_t i = 0; i < cross.size(); ++i) {
      scaled.data()[i] = static_cast<double>(cross.data()[i]) / static_cast<double>(largest);
    }
    // Without finite products there is no rotation to fit: takes the identity.
    if (!(largest > 0 && std::isfinite(largest))) {
      for (size_t i = 0; i < n * n; ++i) bases.push_back(f32_to_f16(i % (n + 1) == 0 ? 1.0f : 0.0f));
      continue;
    }
    const Svd s = svd(scaled.view());
    Matrix<double> v(n, n);
    gemm(Op::kNone, Op::kNone, 1.0, s.u.view(), s.vt.view(), 0.0, v.view());
    for (size_t i = 0; i < n * n; ++i) bases.push_back(f32_to_f16(static_cast<float>(v.data()[i])));
  }
  return bases;
}

// Returns the eigenvectors of the second moments of every block. They are assigned to subspaces such that the products
// of the eigenvalues in each subspace become about equal: the eigenvector with the largest eigenvalue first, always to
// the subspace with the least product among those that are not full.
std::vector<uint16_t> eigen_bases(MatrixView<const float> x, size_t block, size_t width) {
  std::vector<uint16_t> bases;
  for (size_t at = 0; at < x.cols(); at += block) {
    const size_t n = std::min(block, x.cols() - at);
    if (n == 1) continue;
    Matrix<double> moments(n, n);
    add_second_moment(x.sub({0, at, x.rows(), n}), moments.view());
    std::vector<double> values(n);
    eigh(moments.view(), values);
    const size_t first = at / width, subspaces = (at + n - 1) / width - first + 1;
    std::vector<double> product(subspaces);
    std::vector<size_t> next(subspaces), end(subspaces);
    for (size_t s = 0; s < subspaces; ++s) {
      next[s] = std::max(at, (first + s) * width) - at;
      end[s] = std::min(at + n, (first + s + 1) * width) - at;
    }
    const size_t begin = bases.size();
    bases.resize(begin + n * n);
    for (size_t k = n; k-- > 0;) {  // eigenvalues are in ascending order
      size_t best = subspaces;
      for (size_t s = 0; s < subspaces; ++s) {
        if (next[s] < end[s] && (best == subspaces || product[s] < product[best])) best = s;
      }
      product[best] += std::log(std::max(values[k], 1e-12 * values[n - 1] + 1e-300));
      for (size_t j = 0; j < n; ++j) {
        bases[begin + j * n + next[best]] = f32_to_f16(static_cast<float>(moments(k, j)));
      }
      ++next[best];
    }
  }
  return bases;
}

// Fits the rotation and the codebook of a cluster to its rows x, minus the centroid of the cluster.
void fit_cluster(const Params& params, const OpqSizes& sizes, uint64_t seed, MatrixView<const float> x,
                 std::span<const double> row_weights, OpqParts& parts) {
  float largest = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) largest = std::max(largest, std::abs(x(r, c)));
  }
  parts.rotations.emplace_back(x.cols(), sizes.block, identity_bases(x.cols(), sizes.block));
  auto& codebook = *parts.codebooks.emplace_back(std::make_unique<ProductCodebook>(params, x.cols()));
  Matrix<float> y = Matrix<float>::uninitialized(x.rows(), x.cols());
  const auto rotate = [&](std::vector<uint16_t> bases) {
    parts.rotations.back() = BlockRotation(x.cols(), sizes.block, std::move(bases));
    constexpr size_t kPanel = 256;
    parallel_for(ceil_div(x.rows(), kPanel), [&](size_t p) {
      const size_t first = p * kPanel, count = std::min(kPanel, x.rows() - first);
      for (size_t r = first; r < first + count; ++r) std::copy_n(x.row(r), x.cols(), y.row(r));
      parts.rotations.back().to(y.view().row_range(first, count));
    });
  };
  // Fits the codebook to y and replaces y by the decoded codes. Returns the squared error.
  const auto code = [&](bool go_on) {
    codebook.fit(y.view(), sizes.codebook, kRoundIterations, seed, {}, row_weights, go_on);
    Matrix<Symbol> codes(x.rows(), codebook.subspaces());
    const Matrix<float> before = y.clone();
    codebook.encode(0, before.view(), codes.view());
    codebook.decode(0, codes.view(), y.view());
    double error = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      const double e = static_cast<double>(y.data()[i]) - static_cast<double>(before.data()[i]);
      error += e * e;
    }
    return error;
  };
  std::vector<uint16_t> bases = identity_bases(x.cols(), sizes.block);
  rotate(bases);
  bool fitted = false;
  // Outside this range products would overflow or underflow, so the rows are not rotated.
  if (sizes.block > 1 && params.integer("rounds") > 0 && largest < 1e15f && largest > 1e-15f) {
    const double error = code(false);
    std::vector<uint16_t> eigen = eigen_bases(x, sizes.block, sizes.codebook.width);
    rotate(eigen);
    if (code(false) < error) {
      bases = std::move(eigen);
    } else {
      rotate(std::move(bases));
      code(false);
    }
    for (int64_t round = 0; round < params.integer("rounds"); ++round) {
      rotate(procrustes(x, y.view(), sizes.block));
      if (round + 1 < params.integer("rounds")) code(true);
    }
    fitted = true;
  }
  codebook.fit(y.view(), sizes.codebook, static_cast<size_t>(params.integer("iterations")), seed, {}, row_weights,
               fitted);
}

}  // namespace

std::unique_ptr<Quantizer> fit_opq(const Params& params, MatrixView<const float> x, const FitContext& context) {
  const OpqSizes sizes = choose_opq_sizes(params, x.shape(), context);
  OpqParts parts;
  Matrix<Symbol> clusters(x.rows(), 1);
  if (sizes.clusters > 1) {
    parts.coarse = std::make_unique<ProductCodebook>(coarse_params(), x.cols());
    parts.coarse->fit(x, {x.cols(), sizes.clusters}, static_cast<size_t>(params.integer("iterations")), context.seed,
                      {}, context.row_weights);
    parts.coarse->encode(0, x, clusters.view());
  }
  std::vector<std::vector<size_t>> rows(sizes.clusters);
  for (size_t r = 0; r < x.rows(); ++r) rows[clusters(r, 0)].push_back(r);
  for (size_t j = 0; j < sizes.clusters; ++j) {
    Matrix<float> values = Matrix<float>::uninitialized(rows[j].size(), x.cols());
    Matrix<float> center(1, x.cols());
    if (parts.coarse != nullptr) {
      const Symbol which = static_cast<Symbol>(j);
      parts.coarse->decode(0, MatrixView<const Symbol>(&which, 1, 1), center.view());
    }
    std::vector<double> weights;
    for (size_t i = 0; i < rows[j].size(); ++i) {
      for (size_t c = 0; c < x.cols(); ++c) values(i, c) = finite(x(rows[j][i], c) - center(0, c));
      if (!context.row_weights.empty()) weights.push_back(context.row_weights[rows[j][i]]);
    }
    fit_cluster(params, sizes, random_word(context.seed, 1000 + j), values.view(), weights, parts);
  }
  return make_opq(x.shape(), std::move(parts));
}

}  // namespace occ
