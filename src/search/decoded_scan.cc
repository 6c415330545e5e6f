#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/parallel.h"
#include "operators/dense_kernels.h"
#include "search/scan.h"

namespace occ {
namespace {

constexpr size_t kPanelElements = size_t{1} << 18;
constexpr size_t kQueriesAtOnce = 64;

// Keeps eight partial sums side by side, so that the compiler can vectorise the loop.
template <typename Term>
float sum_of(size_t n, const Term& term) {
  float sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t k = 0; k < 8; ++k) sums[k] += term(i + k);
  }
  for (; i < n; ++i) sums[i % 8] += term(i);
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

// The cosine of vectors whose squares are outside the range of floats.
float cosine_in_double(const float* q, const float* x, size_t n) {
  double product = 0, q_square = 0, x_square = 0;
  for (size_t i = 0; i < n; ++i) {
    const double a = static_cast<double>(q[i]), b = static_cast<double>(x[i]);
    product += a * b, q_square += a * a, x_square += b * b;
  }
  if (q_square == 0 || x_square == 0) return 0;
  return static_cast<float>(product / (std::sqrt(q_square) * std::sqrt(x_square)));
}
float cosine(const float* q, const float* x, size_t n, float product, float q_square, float x_square) {
  const auto [least, most] = std::minmax(q_square, x_square);
  if (!(least > 1e-25f) || !(most < 1e30f)) return cosine_in_double(q, x, n);
  return cosine_of(product, q_square, x_square);
}

class DecodedScan final : public Scan {
 public:
  DecodedScan(const TensorFile& file, size_t index) : rows_(file, index) {
    const size_t unit = file.read_granularity(index);
    panel_ = ceil_div(std::max<size_t>(1, kPanelElements / std::max<size_t>(1, rows_.shape().cols)), unit) * unit;
  }

  void search(MatrixView<const float> queries, Metric metric, uint64_t first_id, std::span<TopK> best) const override {
    const Shape shape = rows_.shape();
    std::vector<float> squares(queries.rows());
    for (size_t q = 0; q < queries.rows(); ++q) squares[q] = inner_product(queries.row(q), queries.row(q), shape.cols);
    std::mutex mutex;
    parallel_for(ceil_div(shape.rows, panel_), [&](size_t p) {
      const size_t first = p * panel_, count = std::min(panel_, shape.rows - first);
      Matrix<float> x = Matrix<float>::uninitialized(count, shape.cols);
      rows_.read_rows(first, x.view());
      std::vector<float> x_squares(metric == Metric::kInnerProduct ? 0 : count);
      for (size_t r = 0; r < x_squares.size(); ++r) x_squares[r] = inner_product(x.row(r), x.row(r), shape.cols);
      Matrix<float> products = Matrix<float>::uninitialized(std::min(kQueriesAtOnce, queries.rows()), count);
      for (size_t q0 = 0; q0 < queries.rows(); q0 += kQueriesAtOnce) {
        const size_t n = std::min(kQueriesAtOnce, queries.rows() - q0);
        std::vector<TopK> found;
        {
          const std::lock_guard lock(mutex);
          for (size_t q = 0; q < n; ++q) found.emplace_back(best[q0 + q].k(), best[q0 + q].limit());
        }
        dense_panel(DenseView(x.view()), queries.row_range(q0, n), products.view().row_range(0, n));
        for (size_t q = 0; q < n; ++q) {
          push_panel(queries.row(q0 + q), squares[q0 + q], metric, x.view(), x_squares, products.row(q),
                     first_id + first, &found[q]);
        }
        const std::lock_guard lock(mutex);
        for (size_t q = 0; q < n; ++q) best[q0 + q].push(found[q]);
      }
    });
  }
  uint64_t resident_bytes() const override { return 0; }
  std::string kind() const override { return "decoded by tile"; }

 private:
  // products [rows of x] has the inner products of x with the query.
  static void push_panel(const float* query, float square, Metric metric, MatrixView<const float> x,
                         const std::vector<float>& x_squares, const float* products, uint64_t first_id, TopK* found) {
    // What rounding can do to the squares and the product, relative to their sum: half a unit of the last place for each
    // addition.
    const float rounding = 1.2e-7f * static_cast<float>(x.cols() + 16);
    for (size_t r = 0; r < x.rows(); ++r) {
      if (metric == Metric::kInnerProduct) {
        found->push(-products[r], first_id + r);
      } else if (metric == Metric::kCosine) {
        found->push(-cosine(query, x.row(r), x.cols(), products[r], square, x_squares[r]), first_id + r);
      } else {
        const float sum = square + x_squares[r];
        if (sum - 2 * products[r] - rounding * sum > found->limit()) continue;
        found->push(squared_distance(query, x.row(r), x.cols()), first_id + r);
      }
    }
  }

  TensorRows rows_;
  size_t panel_ = 1;
};

}  // namespace

float squared_distance(const float* q, const float* x, size_t n) {
  return sum_of(n, [&](size_t i) { return (q[i] - x[i]) * (q[i] - x[i]); });
}
float inner_product(const float* q, const float* x, size_t n) {
  return sum_of(n, [&](size_t i) { return q[i] * x[i]; });
}
float cosine_of(float product, float q_square, float x_square) {
  if (q_square == 0 || x_square == 0) return 0;
  return product / (std::sqrt(q_square) * std::sqrt(x_square));
}
float cost_of(const float* q, const float* x, size_t n, Metric metric) {
  if (metric == Metric::kL2) return squared_distance(q, x, n);
  const float product = inner_product(q, x, n);
  if (metric == Metric::kInnerProduct) return -product;
  return -cosine(q, x, n, product, inner_product(q, q, n), inner_product(x, x, n));
}

std::unique_ptr<Scan> make_decoded_scan(const TensorFile& file, size_t index) {
  return std::make_unique<DecodedScan>(file, index);
}

}  // namespace occ
