// Asymmetric distances (Jegou, Douze, Schmid 2011) in the codes of product quantizers. Queries are mapped to the
// coordinates of the codes, x = mu + y V^T for the row y of centroids, and get a table of costs per subspace
// (table_kernels.h):
//
//   |q - x|^2 = |(q - mu) V^-T - y|^2 as far as V is orthogonal (it is rounded to f16: 3e-4 of the distance)
//   <q, x> = <q, mu> + <q V, y>,  |x|^2 = |mu|^2 + 2 <mu V, y> + |y|^2, the last as far as V is orthogonal
//
// Rows of one cluster stand together. At most 16 centroids: 4-bit codes in blocks; more: a byte or two per code.
#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "quantization/product_codebook.h"
#include "search/scan.h"
#include "search/table_kernels.h"
#include "simd/product.h"

namespace occ {
namespace {

constexpr size_t kChunkRows = size_t{1} << 16;   // rows that a task scans
constexpr size_t kTableBytes = size_t{1} << 25;  // of the tables that are made at once
constexpr size_t kMostQueries = 256;             // that are scanned together

// An affine map of rows, q -> q matrix + shift.
struct RowMap {
  PackedMatrix<float> matrix;  // empty: the identity
  std::vector<float> shift;    // empty: zero

  Matrix<float> apply(MatrixView<const float> q) const {
    Matrix<float> out = Matrix<float>::uninitialized(q.rows(), q.cols());
    if (matrix.k() == 0) {
      for (size_t r = 0; r < q.rows(); ++r) std::copy_n(q.row(r), q.cols(), out.row(r));
      return out;
    }
    ordered_product(q, matrix, out.view());
    for (size_t r = 0; r < q.rows(); ++r) {
      for (size_t c = 0; c < q.cols(); ++c) out(r, c) += shift[c];
    }
    return out;
  }
};

// Finds the matrix and the shift of the affine map of rows of length n that `map` applies in place.
template <typename Map>
RowMap affine(size_t n, const Map& map) {
  Matrix<float> zero(1, n), units(n, n);
  map(zero.view());
  RowMap out{PackedMatrix<float>(n, n), std::vector<float>(zero.row(0), zero.row(0) + n)};
  float unit = 1;  // not smaller than the shift, so that the difference keeps its digits
  for (const float v : out.shift) unit = std::max(unit, std::abs(v));
  for (size_t i = 0; i < n; ++i) units(i, i) = unit;
  map(units.view());
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) out.matrix.at(i, j) = (units(i, j) - out.shift[j]) / unit;
  }
  return out;
}

// The tables of one query.
struct Tables {
  std::vector<float> costs;    // [subspaces, ld]
  float offset = 0;            // is added to the sum of costs
  std::vector<uint8_t> bytes;  // [padded subspaces, 16] costs >= low_s + step * bytes
  float low = 0, step = 1;     // the sum of the low_s; cost of one unit
};

// The rows of one cluster.
class Cluster {
 public:
  Cluster(const ProductCodes& codes, size_t number, size_t cols, bool mapped)
      : codebook_(codes.codebook(number)), cols_(cols), k_(codebook_.k()) {
    ld_ = ceil_div(k_, kTablePad) * kTablePad;
    transposed_.assign(cols * ld_, 0);
    for (size_t s = 0; s < subspaces(); ++s) {
      const MatrixView<const float> c = codebook_.centroids(s);
      float* out = transposed_.data() + s * codebook_.width() * ld_;
      for (size_t i = 0; i < c.cols(); ++i) {
        for (size_t j = 0; j < k_; ++j) out[i * ld_ + j] = c(j, i);
      }
    }
    if (!mapped) return;
    to_ = affine(cols, [&](MatrixView<float> x) { codes.to_coordinates(number, x); });
    RowMap from = affine(cols, [&](MatrixView<float> x) { codes.from_coordinates(number, x); });
    center_ = std::move(from.shift);
    adjoint_.matrix = PackedMatrix<float>(cols, cols);
    adjoint_.shift.assign(cols, 0);
    for (size_t i = 0; i < cols; ++i) {
      for (size_t j = 0; j < cols; ++j) adjoint_.matrix.at(j, i) = from.matrix.at(i, j);
    }
  }

  size_t subspaces() const { return codebook_.subspaces(); }
  size_t rows() const { return rows_; }
  bool nibbles() const { return k_ <= 16; }
  unsigned width() const { return nibbles() ? 4 : k_ <= 256 ? 8 : 16; }
  uint64_t row_id(size_t row) const { return ids_.empty() ? row : ids_[row]; }
  uint64_t bytes() const {
    return nibbles_.size() + bytes_.size() + 2 * words_.size() + 4 * (ids_.size() + transposed_.size());
  }
  size_t table_bytes() const { return subspaces() * ld_ * sizeof(float); }

  // Room for the codes of the rows with these numbers; none: rows 0, 1, ...
  void allocate(size_t rows, std::vector<uint32_t> ids) {
    rows_ = rows;
    ids_ = std::move(ids);
    if (nibbles()) {
      nibbles_.assign(ceil_div(rows, kBlockRows) * padded() * 16, 0);
    } else if (k_ <= 256) {
      bytes_.resize(rows * subspaces());
    } else {
      words_.resize(rows * subspaces());
    }
  }
  void set(size_t row, const Symbol* codes) {
    for (size_t s = 0; s < subspaces(); ++s) {
      if (nibbles()) {
        uint8_t& pair = nibbles_[nibble_at(row, s)];
        pair = static_cast<uint8_t>(pair | codes[s] << (row % kBlockRows / 16 * 4));
      } else if (k_ <= 256) {
        bytes_[row * subspaces() + s] = static_cast<uint8_t>(codes[s]);
      } else {
        words_[row * subspaces() + s] = codes[s];
      }
    }
  }

  // Makes the tables of queries [n, cols].
  void make_tables(MatrixView<const float> queries, Metric metric, Tables* out) const {
    const bool product = metric != Metric::kL2;
    const Matrix<float> q = (product ? adjoint_ : to_).apply(queries);
    for (size_t i = 0; i < q.rows(); ++i) {
      Tables& t = out[i];
      t.costs.resize(subspaces() * ld_);
      for (size_t s = 0; s < subspaces(); ++s) {
        const size_t at = s * codebook_.width();
        centroid_costs(q.row(i) + at, std::min(codebook_.width(), cols_ - at), transposed_.data() + at * ld_, ld_,
                       product, t.costs.data() + s * ld_);
      }
      t.offset = product && !center_.empty() ? -inner_product(queries.row(i), center_.data(), cols_) : 0;
      if (nibbles() && metric != Metric::kCosine) round_down(&t);
    }
  }

  // Scans rows [first, first + count), a multiple of kBlockRows and few enough, for up to kQueriesTogether queries.
  void scan(size_t first, size_t count, const Tables* tables, Metric metric, const float* squares, size_t queries,
            uint64_t first_id, TopK* best) const {
    if (!nibbles() || metric == Metric::kCosine) {
      if (metric == Metric::kCosine) norms();
      for (size_t q = 0; q < queries; ++q) {
        sum_all(first, count, tables[q], [&](size_t row, float sum) {
          const float cost = metric == Metric::kCosine ? -cosine_of(-sum, squares[q], norms_[row]) : sum;
          best[q].push(cost, first_id + row_id(row));
        });
      }
      return;
    }
    std::vector<BoundedRows> found;
    const uint8_t* bytes[kQueriesTogether];
    BoundedRows* rows[kQueriesTogether];
    for (size_t q = 0; q < queries; ++q) {
      // Rounded sums are compared with a limit that is the difference of sums in f32. For queries far from all rows those
      // are large, and their rounding is worth more units.
      const Tables& t = tables[q];
      const float rounding = 1.2e-7f * static_cast<float>(subspaces() + 4) / t.step;  // units for each 1 that is summed
      const float most = best[q].limit(), sums = rounding * (std::abs(t.offset) + std::abs(t.low));
      const float units = std::max(0.0f, (most - t.offset - t.low) / t.step) + sums + rounding * std::abs(most);
      const uint32_t limit = units < 65000 ? static_cast<uint32_t>(units) + 2 : 65535;
      const uint32_t slack =
          static_cast<uint32_t>(subspaces()) + 1 + (sums < 65535 ? static_cast<uint32_t>(sums) : 65535);
      found.emplace_back(best[q].k(), slack, limit);
      bytes[q] = t.bytes.data();
    }
    for (size_t q = 0; q < queries; ++q) rows[q] = &found[q];
    scan_nibbles(nibbles_.data() + first / kBlockRows * padded() * 16, padded(), count, static_cast<uint32_t>(first),
                 bytes, rows, queries);
    for (size_t q = 0; q < queries; ++q) {
      for (const auto& [sum, row] : found[q].finish()) {
        best[q].push(sum_of(row, tables[q]), first_id + row_id(row));
      }
    }
  }

 private:
  size_t padded() const { return ceil_div(subspaces(), kBlockPad) * kBlockPad; }
  size_t nibble_at(size_t row, size_t s) const { return (row / kBlockRows * padded() + s) * 16 + row % 16; }
  Symbol code(size_t row, size_t s) const {
    if (nibbles()) return nibbles_[nibble_at(row, s)] >> (row % kBlockRows / 16 * 4) & 15;
    return k_ <= 256 ? bytes_[row * subspaces() + s] : words_[row * subspaces() + s];
  }
  float sum_of(size_t row, const Tables& t) const {
    float sum = t.offset;
    for (size_t s = 0; s < subspaces(); ++s) sum += t.costs[s * ld_ + code(row, s)];
    return sum;
  }

  // Calls body(row, cost) for all rows, four of them at a time.
  template <typename Body>
  void sum_all(size_t first, size_t count, const Tables& t, const Body& body) const {
    if (nibbles()) {
      for (size_t r = first; r < first + count; ++r) body(r, sum_of(r, t));
    } else if (k_ <= 256) {
      sum_rows(bytes_.data(), first, count, t, body);
    } else {
      sum_rows(words_.data(), first, count, t, body);
    }
  }
  template <typename Code, typename Body>
  void sum_rows(const Code* codes, size_t first, size_t count, const Tables& t, const Body& body) const {
    const size_t m = subspaces();
    size_t r = first;
    for (; r + 4 <= first + count; r += 4) {
      const Code *a = codes + r * m, *b = a + m, *c = b + m, *d = c + m;
      const float* costs = t.costs.data();
      float sums[4] = {t.offset, t.offset, t.offset, t.offset};
      for (size_t s = 0; s < m; ++s, costs += ld_) {
        sums[0] += costs[a[s]];
        sums[1] += costs[b[s]];
        sums[2] += costs[c[s]];
        sums[3] += costs[d[s]];
      }
      for (size_t i = 0; i < 4; ++i) body(r + i, sums[i]);
    }
    for (; r < first + count; ++r) body(r, sum_of(r, t));
  }

  // Rounds the costs down to bytes, as fine as the sum of all subspaces allows.
  void round_down(Tables* t) const {
    const size_t m = subspaces();
    const auto levels = static_cast<float>(std::min<size_t>(255, 65535 / std::max<size_t>(1, m)));
    std::vector<float> low(m);
    float range = 0;
    t->low = 0;
    for (size_t s = 0; s < m; ++s) {
      const auto [least, most] = std::minmax_element(t->costs.data() + s * ld_, t->costs.data() + s * ld_ + k_);
      low[s] = *least;
      range = std::max(range, *most - *least);
      t->low += *least;
    }
    t->step = range > 0 && std::isfinite(range) ? range / levels : 1;
    t->bytes.assign(padded() * 16, 0);
    if (!std::isfinite(range) || !std::isfinite(t->low)) return;  // all rows are summed in f32
    const float inverse = 1 / t->step;
    for (size_t s = 0; s < m; ++s) {
      for (size_t j = 0; j < k_; ++j) {
        const float units = (t->costs[s * ld_ + j] - low[s]) * inverse;
        t->bytes[s * 16 + j] = static_cast<uint8_t>(units < 0 ? 0 : units < levels ? units : levels);
      }
    }
  }

  // Squared norms of all decoded rows, computed at the first search for cosines.
  void norms() const {
    std::call_once(*norms_made_, [&] {
      Tables t;
      t.costs.assign(subspaces() * ld_, 0);
      std::vector<float> shift(cols_, 0);
      if (!center_.empty()) {
        t.offset = inner_product(center_.data(), center_.data(), cols_);
        const Matrix<float> mapped = adjoint_.apply({center_.data(), 1, cols_});
        shift.assign(mapped.row(0), mapped.row(0) + cols_);
      }
      for (size_t s = 0; s < subspaces(); ++s) {
        const MatrixView<const float> c = codebook_.centroids(s);
        for (size_t j = 0; j < k_; ++j) {
          t.costs[s * ld_ + j] = inner_product(c.row(j), c.row(j), c.cols()) +
                                 2 * inner_product(c.row(j), shift.data() + s * codebook_.width(), c.cols());
        }
      }
      norms_.resize(rows_);
      sum_all(0, rows_, t, [&](size_t row, float sum) { norms_[row] = std::max(0.0f, sum); });
    });
  }

  ProductCodebook codebook_;
  size_t cols_, k_, ld_ = 0, rows_ = 0;
  std::vector<float> transposed_;  // of each subspace: centroids [columns, ld]
  RowMap to_, adjoint_;
  std::vector<float> center_;
  std::vector<uint32_t> ids_;
  std::vector<uint8_t> nibbles_, bytes_;
  std::vector<uint16_t> words_;
  mutable std::vector<float> norms_;
  std::unique_ptr<std::once_flag> norms_made_ = std::make_unique<std::once_flag>();
};

class TableScan final : public Scan {
 public:
  explicit TableScan(const BoundRecipe& recipe) {
    const ProductCodes& codes = *recipe.product_codes();
    const Shape shape = recipe.shape();
    for (size_t j = 0; j < codes.clusters(); ++j) clusters_.emplace_back(codes, j, shape.cols, codes.rotates());
    const size_t panel = std::max<size_t>(1, recipe.tile_rows());
    std::vector<std::vector<uint32_t>> ids(codes.clusters());
    const auto by_panel = [&](const auto& body) {
      for (size_t row = 0; row < shape.rows; row += panel) {
        recipe.codes_of(row, std::min(panel, shape.rows - row),
                        [&](std::span<const MatrixView<const Symbol>> planes) { body(row, planes); });
      }
    };
    if (codes.clusters() > 1) {
      by_panel([&](size_t row, std::span<const MatrixView<const Symbol>> planes) {
        for (size_t r = 0; r < planes[0].rows(); ++r) ids[planes[0](r, 0)].push_back(static_cast<uint32_t>(row + r));
      });
    }
    for (size_t j = 0; j < clusters_.size(); ++j) {
      const size_t rows = clusters_.size() == 1 ? shape.rows : ids[j].size();
      clusters_[j].allocate(rows, std::move(ids[j]));
    }
    std::vector<size_t> filled(clusters_.size());
    by_panel([&](size_t, std::span<const MatrixView<const Symbol>> planes) {
      for (size_t r = 0; r < planes.back().rows(); ++r) {
        const size_t j = clusters_.size() == 1 ? 0 : planes[0](r, 0);
        clusters_[j].set(filled[j]++, planes.back().row(r));
      }
    });
  }

  void search(MatrixView<const float> queries, Metric metric, uint64_t first_id, std::span<TopK> best) const override {
    std::vector<float> squares(queries.rows());
    for (size_t q = 0; q < queries.rows(); ++q) {
      squares[q] = inner_product(queries.row(q), queries.row(q), queries.cols());
    }
    for (const Cluster& c : clusters_) {
      if (c.rows() == 0) continue;
      const size_t fit = kTableBytes / std::max<size_t>(1, c.table_bytes()) / kQueriesTogether * kQueriesTogether;
      const size_t together = std::clamp(fit, kQueriesTogether, kMostQueries);
      for (size_t first = 0; first < queries.rows(); first += together) {
        const size_t n = std::min(together, queries.rows() - first);
        search_some(c, queries.row_range(first, n), metric, squares.data() + first, first_id, best.subspan(first, n));
      }
    }
  }
  uint64_t resident_bytes() const override {
    uint64_t bytes = 0;
    for (const Cluster& c : clusters_) bytes += c.bytes();
    return bytes;
  }
  std::string kind() const override {
    const Cluster& c = clusters_[0];
    return fmt::format("{} codes of {} bits{}", c.subspaces(), c.width(),
                       clusters_.size() == 1 ? "" : fmt::format(", {} clusters", clusters_.size()));
  }

 private:
  static void search_some(const Cluster& c, MatrixView<const float> queries, Metric metric, const float* squares,
                          uint64_t first_id, std::span<TopK> best) {
    const size_t groups = ceil_div(queries.rows(), kQueriesTogether), chunks = ceil_div(c.rows(), kChunkRows);
    std::vector<Tables> tables(queries.rows());
    const auto of_group = [&](size_t g) {
      return std::pair(g * kQueriesTogether, std::min(kQueriesTogether, queries.rows() - g * kQueriesTogether));
    };
    parallel_for(groups, [&](size_t g) {
      const auto [first, n] = of_group(g);
      c.make_tables(queries.row_range(first, n), metric, &tables[first]);
    });
    std::mutex mutex;
    parallel_for(groups * chunks, [&](size_t task) {
      const auto [first, n] = of_group(task % groups);
      const size_t row = task / groups * kChunkRows;
      std::vector<TopK> found;
      {
        const std::lock_guard lock(mutex);
        for (size_t q = 0; q < n; ++q) found.emplace_back(best[first + q].k(), best[first + q].limit());
      }
      c.scan(row, std::min(kChunkRows, c.rows() - row), &tables[first], metric, squares + first, n, first_id,
             found.data());
      const std::lock_guard lock(mutex);
      for (size_t q = 0; q < n; ++q) best[first + q].push(found[q]);
    });
  }

  std::vector<Cluster> clusters_;
};

}  // namespace

std::unique_ptr<Scan> make_table_scan(const BoundRecipe& recipe) {
  OCC_CHECK(recipe.product_codes() != nullptr);
  return std::make_unique<TableScan>(recipe);
}

}  // namespace occ
