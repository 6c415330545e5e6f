#include "compress/analysis_stages.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"
#include "linalg/linalg.h"
#include "tensor/dtype.h"
#include "transforms/axis.h"

namespace occ {
namespace {

std::unique_ptr<Transform> load_nothing(const Params&, Shape, ByteReader& side) {
  throw_input("{}: expected a stage of archives, found one that only an analysis has", side.what());
}

class Center final : public Transform {
 public:
  explicit Center(std::vector<float> means) : means_(std::move(means)) {}
  TransformTraits traits() const override { return {}; }
  Granule granule() const override { return {1, 1}; }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) planes[0](r, c) = x(r, c) - means_[at.col + c];
    }
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) x(r, c) = planes[0](r, c) + means_[at.col + c];
    }
  }
  void save(ByteWriter& out) const override {
    std::vector<uint16_t> stored(means_.size());
    std::transform(means_.begin(), means_.end(), stored.begin(), f32_to_f16);
    out.put_array(stored.data(), stored.size());
  }

 private:
  std::vector<float> means_;  // [cols] the means, rounded to f16
};

std::unique_ptr<Transform> fit_center(const Params&, MatrixView<const float> x, const FitContext&) {
  std::vector<double> sums(x.cols());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) sums[c] += x(r, c);
  }
  std::vector<float> means;
  for (const double s : sums) {
    const double mean = std::clamp(s / static_cast<double>(std::max<size_t>(1, x.rows())), -65504.0, 65504.0);
    means.push_back(f16_to_f32(f32_to_f16(static_cast<float>(mean))));
  }
  return std::make_unique<Center>(std::move(means));
}

Matrix<float> transposed(MatrixView<const float> x) {
  Matrix<float> out = Matrix<float>::uninitialized(x.cols(), x.rows());
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) out(c, r) = x(r, c);
  }
  return out;
}

// Applies to the columns a transform that works on rows.
class OfColumns final : public Transform {
 public:
  explicit OfColumns(std::unique_ptr<Transform> of_rows) : of_rows_(std::move(of_rows)) {}
  TransformTraits traits() const override { return {.row_local = false, .maps_columns = true}; }
  Granule granule() const override { return {0, 1}; }
  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    Matrix<float> t = transposed(x);
    const MatrixView<float> view = t.view();
    of_rows_->forward({0, 0, t.rows(), t.cols()}, view, {&view, 1});
    copy_matrix<float>(transposed(view).view(), planes[0]);
  }
  void inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    Matrix<float> t = transposed(planes[0]);
    const MatrixView<const float> view = t.view();
    of_rows_->inverse({0, 0, t.rows(), t.cols()}, {&view, 1}, t.view());
    copy_matrix<float>(transposed(view).view(), x);
  }
  void save(ByteWriter& out) const override { of_rows_->save(out); }

 private:
  std::unique_ptr<Transform> of_rows_;
};

std::unique_ptr<Transform> fit_pca_columns(const Params&, MatrixView<const float> x, const FitContext&) {
  const TransformEntry& pca = *find_transform("pca");
  return std::make_unique<OfColumns>(
      transform_fit(pca)(Params(pca.params, {}, pca.name), transposed(x).view(), FitContext{}));
}

constexpr std::array kLocalParams = {int_param("clusters", "8", 1, 256, "bases to choose from"),
                                     int_param("block", "16", 2, 64, "columns of a piece, a divisor of their number")};

// The bases of the clusters as they would be stored, and what is needed to assign a piece to a cluster.
struct Clusters {
  size_t count = 0, block = 0;
  // [count, block, block] Component i of cluster k is row i; rounded to f16.
  std::vector<float> bases;
  std::vector<float> precisions;  // [count, block]: 1 / variance
  // [count] The part of a piece's cost that depends only on the cluster; infinite for an empty one.
  std::vector<double> offsets;

  const float* component(size_t k, size_t i) const { return bases.data() + (k * block + i) * block; }
  float coefficient(size_t k, size_t i, const float* x) const {
    const float* v = component(k, i);
    float sum = 0;
    for (size_t j = 0; j < block; ++j) sum += v[j] * x[j];
    return sum;
  }
};

class LocalPca final : public Transform {
 public:
  LocalPca(Shape shape, Clusters clusters, std::vector<uint8_t> cluster_of)
      : shape_(shape), clusters_(std::move(clusters)), cluster_of_(std::move(cluster_of)), members_(clusters_.count) {
    for (const uint8_t k : cluster_of_) rank_.push_back(static_cast<uint32_t>(members_[k]++));
    std::exclusive_scan(members_.begin(), members_.end(), std::back_inserter(first_), size_t{0});
  }
  TransformTraits traits() const override { return {.row_local = false, .side_grows = true}; }
  Granule granule() const override { return {0, 0}; }
  void forward(const Rect&, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    Matrix<float> in = Matrix<float>::uninitialized(x.rows(), x.cols());  // the plane may be the same memory as x
    copy_matrix(x, in.view());
    const size_t b = clusters_.block;
    std::vector<float> y(b), rest(b);
    for (size_t p = 0; p < cluster_of_.size(); ++p) {
      const float* piece = in.data() + p * b;
      const size_t k = cluster_of_[p];
      for (size_t i = 0; i < b; ++i) y[i] = clusters_.coefficient(k, i, piece);
      // The basis is rounded to f16 and not quite orthogonal: one step of refinement, as in pca.
      back(k, y.data(), rest.data());
      for (size_t j = 0; j < b; ++j) rest[j] = piece[j] - rest[j];
      for (size_t i = 0; i < b; ++i) place(planes[0], p, i) = y[i] + clusters_.coefficient(k, i, rest.data());
    }
  }
  void inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    const size_t b = clusters_.block;
    Matrix<float> out = Matrix<float>::uninitialized(x.rows(), x.cols());
    std::vector<float> y(b);
    for (size_t p = 0; p < cluster_of_.size(); ++p) {
      for (size_t i = 0; i < b; ++i) y[i] = place(planes[0], p, i);
      back(cluster_of_[p], y.data(), out.data() + p * b);
    }
    copy_matrix<float>(out.view(), x);
  }
  void save(ByteWriter& out) const override {
    std::vector<uint16_t> stored(clusters_.bases.size());
    std::transform(clusters_.bases.begin(), clusters_.bases.end(), stored.begin(), f32_to_f16);
    out.put_array(stored.data(), stored.size());
    const auto width = static_cast<size_t>(std::bit_width(clusters_.count - 1));
    std::vector<uint8_t> packed(ceil_div(width * cluster_of_.size(), 8));
    for (size_t p = 0; p < cluster_of_.size(); ++p) {
      for (size_t bit = 0; bit < width; ++bit) {
        const size_t at = p * width + bit;
        packed[at / 8] = static_cast<uint8_t>(packed[at / 8] | ((cluster_of_[p] >> bit & 1) << at % 8));
      }
    }
    out.put_array(packed.data(), packed.size());
  }

 private:
  void back(size_t k, const float* y, float* x) const {
    std::fill_n(x, clusters_.block, 0.0f);
    for (size_t i = 0; i < clusters_.block; ++i) {
      const float* v = clusters_.component(k, i);
      for (size_t j = 0; j < clusters_.block; ++j) x[j] += y[i] * v[j];
    }
  }
  // Returns the element of the plane that has component i of piece p.
  template <typename T>
  T& place(MatrixView<T> plane, size_t p, size_t i) const {
    const size_t k = cluster_of_[p], at = first_[k] * clusters_.block + i * members_[k] + rank_[p];
    return plane(at / shape_.cols, at % shape_.cols);
  }

  Shape shape_;
  Clusters clusters_;
  std::vector<uint8_t> cluster_of_;  // [pieces]
  std::vector<size_t> members_;      // [clusters] number of pieces in the cluster
  std::vector<size_t> first_;        // [clusters] number of pieces in all clusters before it
  std::vector<uint32_t> rank_;       // [pieces] index of the piece within its cluster
};

// Returns the bases for a given assignment of the pieces to clusters.
Clusters fit_clusters(size_t count, size_t block, MatrixView<const float> pieces, std::span<const uint8_t> cluster_of) {
  Clusters out{count, block, {}, {}, {}};
  double energy = 0;
  std::vector<Matrix<double>> covariances;
  std::vector<size_t> members(count);
  for (size_t k = 0; k < count; ++k) {
    members[k] = static_cast<size_t>(std::count(cluster_of.begin(), cluster_of.end(), k));
    Matrix<float> own = Matrix<float>::uninitialized(members[k], block);
    for (size_t p = 0, row = 0; p < cluster_of.size(); ++p) {
      if (cluster_of[p] == k) std::copy_n(pieces.row(p), block, own.row(row++));
    }
    Matrix<double>& c = covariances.emplace_back(block, block);
    if (members[k] != 0) add_second_moment(own.view(), c.view());
    for (size_t i = 0; i < block; ++i) energy += c(i, i);
  }
  // Limits variances from below: smaller ones get no bits at the rates of interest in any case.
  const double floor = std::max(energy / static_cast<double>(std::max<size_t>(1, pieces.size())) / 256, 1e-300);
  for (size_t k = 0; k < count; ++k) {
    const double n = static_cast<double>(std::max<size_t>(1, members[k]));
    std::vector<double> values(block);
    eigh(covariances[k].view(), values);
    double offset = -2 * std::log(n / static_cast<double>(cluster_of.size()));
    for (size_t i = 0; i < block; ++i) {  // eigenvalues are in ascending order
      const double* v = covariances[k].row(block - 1 - i);
      for (size_t j = 0; j < block; ++j) out.bases.push_back(f16_to_f32(f32_to_f16(static_cast<float>(v[j]))));
      const double variance = std::max(values[block - 1 - i] / n, floor);
      out.precisions.push_back(static_cast<float>(1 / variance));
      offset += std::log(variance);
    }
    out.offsets.push_back(members[k] == 0 ? std::numeric_limits<double>::infinity() : offset);
  }
  return out;
}

void assign(const Clusters& clusters, MatrixView<const float> pieces, std::vector<uint8_t>* cluster_of) {
  constexpr size_t kAtOnce = 4096;
  parallel_for(ceil_div(pieces.rows(), kAtOnce), [&](size_t part) {
    for (size_t p = part * kAtOnce; p < std::min(pieces.rows(), (part + 1) * kAtOnce); ++p) {
      double least = std::numeric_limits<double>::infinity();
      for (size_t k = 0; k < clusters.count; ++k) {
        double cost = clusters.offsets[k];
        for (size_t i = 0; i < clusters.block && cost < least; ++i) {
          const float y = clusters.coefficient(k, i, pieces.row(p));
          cost += double{y} * double{y} * double{clusters.precisions[k * clusters.block + i]};
        }
        if (cost < least) least = cost, (*cluster_of)[p] = static_cast<uint8_t>(k);
      }
    }
  });
}

std::unique_ptr<Transform> fit_local_pca(const Params& params, MatrixView<const float> x, const FitContext&) {
  constexpr int kRounds = 8;
  const auto count = static_cast<size_t>(params.integer("clusters")),
             block = static_cast<size_t>(params.integer("block"));
  if (x.cols() % block != 0) {
    throw_usage("local_pca: expected columns in whole pieces of {}, found {} columns", block, x.cols());
  }
  Matrix<float> pieces = Matrix<float>::uninitialized(x.size() / block, block);
  copy_matrix(x, MatrixView<float>(pieces.data(), x.rows(), x.cols(), x.cols()));
  // In the first assignment, pieces are sorted by energy and every cluster gets the same number of them.
  std::vector<double> energies(pieces.rows());
  for (size_t p = 0; p < pieces.rows(); ++p) {
    for (size_t j = 0; j < block; ++j) energies[p] += double{pieces(p, j)} * double{pieces(p, j)};
  }
  std::vector<size_t> order(pieces.rows());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return energies[a] < energies[b]; });
  std::vector<uint8_t> cluster_of(pieces.rows());
  for (size_t i = 0; i < order.size(); ++i) cluster_of[order[i]] = static_cast<uint8_t>(i * count / order.size());
  for (int round = 0; round < kRounds; ++round) {
    assign(fit_clusters(count, block, pieces.view(), cluster_of), pieces.view(), &cluster_of);
  }
  Clusters clusters = fit_clusters(count, block, pieces.view(), cluster_of);
  return std::make_unique<LocalPca>(x.shape(), std::move(clusters), std::move(cluster_of));
}

std::vector<std::string> forms_of_columns(const AnalyzedMatrix& m) {
  constexpr size_t kMostRows = 1024;  // the time of a fit grows with their third power
  return m.sampled_rows == m.shape.rows && m.shape.rows >= 2 && m.shape.rows <= kMostRows
             ? std::vector<std::string>{"pca_columns"}
             : std::vector<std::string>{};
}

std::vector<std::string> forms_of_local(const AnalyzedMatrix& m) {
  constexpr size_t kBlock = 16, kLeastPieces = 1024;
  return m.shape.cols % kBlock == 0 && m.sampled_rows * m.shape.cols >= kLeastPieces * kBlock
             ? std::vector<std::string>{"local_pca"}
             : std::vector<std::string>{};
}

}  // namespace

void register_analysis_stages() {
  if (find_transform("center") != nullptr) return;
  register_transform({.name = "center",
                      .summary = "without the means of the columns (analysis only)",
                      .params = {},
                      .planes = {},
                      .fit = fit_center,
                      .load = load_nothing,
                      .roles = {.forms = [](const AnalyzedMatrix&) { return std::vector<std::string>{"center"}; }}});
  register_transform({.name = "pca_columns",
                      .summary = "principal axes of the columns (analysis only)",
                      .params = {},
                      .planes = {},
                      .fit = fit_pca_columns,
                      .load = load_nothing,
                      .roles = {.forms = forms_of_columns}});
  register_transform({.name = "local_pca",
                      .summary = "principal axes of clusters of pieces of rows (analysis only)",
                      .params = kLocalParams,
                      .planes = {},
                      .fit = fit_local_pca,
                      .load = load_nothing,
                      .roles = {.forms = forms_of_local}});
}

}  // namespace occ
