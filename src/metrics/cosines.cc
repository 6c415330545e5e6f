#include "metrics/cosines.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "simd/product.h"

namespace occ {
namespace {

constexpr size_t kPairs = 65'536, kQueries = 1'000;
constexpr size_t kPanel = 256;  // number of rows in a panel

// Keeps eight partial sums side by side, so that the compiler can vectorise the loop.
double dot(const float* x, const float* y, size_t n) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t k = 0; k < 8; ++k) sums[k] += double{x[i + k]} * double{y[i + k]};
  }
  for (; i < n; ++i) sums[0] += double{x[i]} * double{y[i]};
  double total = 0;
  for (const double s : sums) total += s;
  return total;
}

std::vector<double> norms_of(MatrixView<const float> x) {
  std::vector<double> norms(x.rows());
  parallel_for(ceil_div(x.rows(), kPanel), [&](size_t p) {
    for (size_t r = p * kPanel; r < std::min(x.rows(), (p + 1) * kPanel); ++r) {
      norms[r] = std::sqrt(dot(x.row(r), x.row(r), x.cols()));
    }
  });
  return norms;
}

// An order for sorting in which NaN comes first.
bool below(float a, float b) { return std::isnan(a) ? !std::isnan(b) : a < b; }

double cosine(double product, double norm_a, double norm_b) {
  if (norm_a == 0 && norm_b == 0) return 1;
  return norm_a == 0 || norm_b == 0 ? 0 : std::clamp(product / norm_a / norm_b, -1.0, 1.0);
}

// Scales every row to length one. Rows of zeros stay zero.
Matrix<float> unit_rows(MatrixView<const float> x, const std::vector<double>& norms) {
  Matrix<float> out = Matrix<float>::uninitialized(x.rows(), x.cols());
  parallel_for(ceil_div(x.rows(), kPanel), [&](size_t p) {
    for (size_t r = p * kPanel; r < std::min(x.rows(), (p + 1) * kPanel); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) {
        out(r, c) = norms[r] == 0 ? 0 : static_cast<float>(double{x(r, c)} / norms[r]);
      }
    }
  });
  return out;
}

// Returns for every q the indices of the `count` rows that have the largest inner products with row ids[q], in
// ascending order of the indices. The row itself is left out.
std::vector<std::vector<uint32_t>> neighbours_of(MatrixView<const float> unit, const std::vector<uint32_t>& ids,
                                                 size_t count) {
  std::vector<std::vector<uint32_t>> found(ids.size());
  constexpr size_t kBatch = 64;  // queries that are compared with the rows together
  parallel_for(ceil_div(ids.size(), kBatch), [&](size_t batch) {
    const size_t first = batch * kBatch, n = std::min(kBatch, ids.size() - first);
    PackedMatrix<float> queries(unit.cols(), n);
    for (size_t q = 0; q < n; ++q) {
      for (size_t c = 0; c < unit.cols(); ++c) queries.at(c, q) = unit(ids[first + q], c);
    }
    using Hit = std::pair<float, uint32_t>;  // -cosine and row: sorted in ascending order, the nearest row comes first
    std::vector<std::vector<Hit>> best(n);   // heaps with the worst hit on top
    Matrix<float> products = Matrix<float>::uninitialized(kPanel, n);
    for (size_t r = 0; r < unit.rows(); r += kPanel) {
      const size_t rows = std::min(kPanel, unit.rows() - r);
      ordered_product(unit.row_range(r, rows), queries, products.view().row_range(0, rows));
      for (size_t k = 0; k < rows; ++k) {
        for (size_t q = 0; q < n; ++q) {
          const Hit hit{-products(k, q), static_cast<uint32_t>(r + k)};
          std::vector<Hit>& heap = best[q];
          if (heap.size() == count && !(hit < heap.front())) continue;
          if (hit.second == ids[first + q]) continue;
          if (heap.size() == count) {
            std::pop_heap(heap.begin(), heap.end());
            heap.pop_back();
          }
          heap.push_back(hit);
          std::push_heap(heap.begin(), heap.end());
        }
      }
    }
    for (size_t q = 0; q < n; ++q) {
      for (const Hit& hit : best[q]) found[first + q].push_back(hit.second);
      std::sort(found[first + q].begin(), found[first + q].end());
    }
  });
  return found;
}

// Returns `count` different random numbers below n, or all numbers below n if there are not more than `count`.
std::vector<uint32_t> sample_of(size_t n, size_t count, Rng& rng) {
  std::vector<uint32_t> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<uint32_t>(i);
  if (n <= count) return ids;
  for (size_t i = 0; i < count; ++i) std::swap(ids[i], ids[i + rng.below(n - i)]);
  ids.resize(count);
  return ids;
}

}  // namespace

CosineFigures measure_cosines(MatrixView<const float> x, MatrixView<const float> y, uint64_t seed) {
  OCC_CHECK(x.shape() == y.shape());
  CosineFigures out;
  const size_t n = x.rows(), cols = x.cols();
  if (x.size() == 0) return out;
  const std::vector<double> nx = norms_of(x), ny = norms_of(y);
  out.cosines.resize(n);
  parallel_for(ceil_div(n, kPanel), [&](size_t p) {
    for (size_t r = p * kPanel; r < std::min(n, (p + 1) * kPanel); ++r) {
      out.cosines[r] = static_cast<float>(cosine(dot(x.row(r), y.row(r), cols), nx[r], ny[r]));
    }
  });
  std::sort(out.cosines.begin(), out.cosines.end(), below);
  if (n < 2) return out;

  constexpr size_t kPart = 1024;
  std::vector<CosineFigures> parts(kPairs / kPart);
  parallel_for(parts.size(), [&](size_t p) {
    CosineFigures& part = parts[p];
    Rng rng(random_word(seed, p));
    for (size_t k = 0; k < kPart; ++k) {
      const size_t i = rng.below(n), other = rng.below(n - 1), j = other + (other >= i);
      const double xx = dot(x.row(i), x.row(j), cols), xy = dot(x.row(i), y.row(j), cols);
      const double d = cosine(xx, nx[i], nx[j]) - cosine(dot(y.row(i), y.row(j), cols), ny[i], ny[j]);
      part.pair_squares += d * d;
      part.product += xx * xy;
      part.product_square += xx * xx;
    }
    part.pairs = kPart;
  });
  for (const CosineFigures& part : parts) out.merge(part);

  Rng rng(seed);
  const std::vector<uint32_t> ids = sample_of(n, kQueries, rng);
  const size_t count = std::min(CosineFigures::kNeighbours, n - 1);
  const auto wanted = neighbours_of(unit_rows(x, nx).view(), ids, count);
  const auto found = neighbours_of(unit_rows(y, ny).view(), ids, count);
  for (size_t q = 0; q < ids.size(); ++q) {
    std::vector<uint32_t> both;
    std::set_intersection(wanted[q].begin(), wanted[q].end(), found[q].begin(), found[q].end(),
                          std::back_inserter(both));
    const double part = static_cast<double>(both.size()) / static_cast<double>(count);
    out.queries += 1;
    out.hits += part;
    out.hits_square += part * part;
  }
  return out;
}

void CosineFigures::merge(const CosineFigures& o) {
  std::vector<float> all(cosines.size() + o.cosines.size());
  std::merge(cosines.begin(), cosines.end(), o.cosines.begin(), o.cosines.end(), all.begin(), below);
  cosines = std::move(all);
  pairs += o.pairs;
  pair_squares += o.pair_squares;
  product += o.product;
  product_square += o.product_square;
  queries += o.queries;
  hits += o.hits;
  hits_square += o.hits_square;
}

double CosineFigures::mean() const {
  double sum = 0;
  for (const float c : cosines) sum += double{c};
  return cosines.empty() ? 1 : sum / static_cast<double>(cosines.size());
}
double CosineFigures::percentile(double p) const {
  if (cosines.empty()) return 1;
  const auto rank = static_cast<size_t>(std::ceil(p / 100 * static_cast<double>(cosines.size())));
  return double{cosines[std::clamp<size_t>(rank, 1, cosines.size()) - 1]};
}
double CosineFigures::pair_rmse() const { return pairs == 0 ? 0 : std::sqrt(pair_squares / pairs); }
double CosineFigures::product_slope() const { return product_square == 0 ? 1 : product / product_square; }
double CosineFigures::recall() const { return queries == 0 ? 1 : hits / queries; }
double CosineFigures::recall_stderr() const {
  if (queries < 2) return 0;
  const double mean = hits / queries;
  return std::sqrt(std::max(0.0, hits_square / queries - mean * mean) / (queries - 1));
}

}  // namespace occ
