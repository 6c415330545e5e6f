#include "quantization/kmeans.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "quantization/nearest_centroid.h"
#include "simd/panel.h"

namespace occ {
namespace {

// The vectors of the sample, stored as panels.
struct Samples {
  Samples(MatrixView<const float> x, std::span<const double> row_weights, size_t count)
      : n(count), d(x.cols()), panels(ceil_div(count, kPanelLanes), x.cols() * kPanelLanes) {
    for (size_t s = 0; s < n; ++s) {
      const size_t row = at(s, x.rows());
      for (size_t i = 0; i < d; ++i) value(s, i) = x(row, i);
      if (!row_weights.empty()) weight.push_back(row_weights[row]);
    }
  }
  // Row of sample s: evenly spread and ascending.
  size_t at(size_t s, size_t rows) const { return static_cast<size_t>(static_cast<unsigned __int128>(s) * rows / n); }
  float& value(size_t s, size_t i) { return panels(s / kPanelLanes, i * kPanelLanes + s % kPanelLanes); }
  float value(size_t s, size_t i) const { return panels(s / kPanelLanes, i * kPanelLanes + s % kPanelLanes); }
  double weight_of(size_t s) const { return weight.empty() ? 1 : weight[s]; }

  size_t n, d;
  Matrix<float> panels;  // [n / 16][d][16]
  std::vector<double> weight;
};

void copy_to(const Samples& samples, size_t s, float* centroid) {
  for (size_t i = 0; i < samples.d; ++i) centroid[i] = samples.value(s, i);
}

// Draws each next centroid with a probability proportional to the squared distance from the centroids chosen before.
void start_plus_plus(const Samples& samples, std::span<const float> weights, Rng& rng, Matrix<float>& centroids) {
  const size_t k = centroids.rows(), d = samples.d;
  const size_t count = std::min(samples.n, std::max<size_t>(16 * k, 8192));
  std::vector<size_t> chosen(count);
  for (size_t i = 0; i < count; ++i) chosen[i] = i * samples.n / count;
  std::vector<float> x(count * d), nearest(count, HUGE_VALF);  // x holds the coordinates one after the other
  for (size_t s = 0; s < count; ++s) {
    for (size_t i = 0; i < d; ++i) {
      x[i * count + s] = samples.value(chosen[s], i) * (weights.empty() ? 1 : std::sqrt(weights[i]));
    }
  }
  std::vector<float> distance(count);
  size_t last = rng.below(count);
  copy_to(samples, chosen[last], centroids.row(0));
  for (size_t j = 1; j < k; ++j) {
    std::fill(distance.begin(), distance.end(), 0.0f);
    for (size_t i = 0; i < d; ++i) {
      const float* xi = &x[i * count];
      const float c = xi[last];
      for (size_t s = 0; s < count; ++s) distance[s] += (xi[s] - c) * (xi[s] - c);
    }
    double total = 0;
    for (size_t s = 0; s < count; ++s) {
      nearest[s] = std::min(nearest[s], distance[s]);
      total += static_cast<double>(nearest[s]) * samples.weight_of(chosen[s]);
    }
    if (!(total > 0)) {  // every distinct vector has been chosen already
      for (; j < k; ++j) std::copy_n(centroids.row(0), d, centroids.row(j));
      return;
    }
    double left = rng.uniform() * total;
    last = count - 1;
    for (size_t s = 0; s < count; ++s) {
      left -= static_cast<double>(nearest[s]) * samples.weight_of(chosen[s]);
      if (left < 0) {
        last = s;
        break;
      }
    }
    copy_to(samples, chosen[last], centroids.row(j));
  }
}

// Chooses k different samples, or all samples and then the first one again.
void start_random(const Samples& samples, Rng& rng, Matrix<float>& centroids) {
  const size_t k = centroids.rows();
  std::vector<size_t> order(samples.n);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = 0; i < std::min(k, samples.n); ++i) std::swap(order[i], order[i + rng.below(samples.n - i)]);
  for (size_t j = 0; j < k; ++j) copy_to(samples, order[j < samples.n ? j : 0], centroids.row(j));
}

}  // namespace

Matrix<float> kmeans(MatrixView<const float> x, const KmeansOptions& options) {
  OCC_CHECK(options.k > 0 && (options.row_weights.empty() || options.row_weights.size() == x.rows()));
  const size_t k = options.k, d = x.cols();
  Matrix<float> centroids(k, d);
  if (x.size() == 0) return centroids;
  const Samples samples(x, options.row_weights, std::min(x.rows(), std::max<size_t>(256 * k, size_t{1} << 16)));
  Rng rng(options.seed);
  if (options.start.size() != 0) {
    for (size_t j = 0; j < k; ++j) std::copy_n(options.start.row(j), d, centroids.row(j));
  } else if (k <= 4096) {
    start_plus_plus(samples, options.weights, rng, centroids);
  } else {
    start_random(samples, rng, centroids);
  }

  std::vector<float> squares(samples.n);  // for each sample, |x|_w^2 / 2
  for (size_t s = 0; s < samples.n; ++s) {
    float sum = 0;
    for (size_t i = 0; i < d; ++i) {
      sum += samples.value(s, i) * samples.value(s, i) * (options.weights.empty() ? 1 : options.weights[i]);
    }
    squares[s] = sum / 2;
  }
  std::vector<uint32_t> owner(samples.n, static_cast<uint32_t>(k));
  std::vector<float> error(samples.n);
  std::vector<double> sums(k * d), mass(k);
  double before = HUGE_VAL;
  for (size_t round = 0; round < options.iterations; ++round) {
    const CentroidSearch search(centroids.view(), options.weights);
    std::fill(sums.begin(), sums.end(), 0);
    std::fill(mass.begin(), mass.end(), 0);
    double total = 0;
    bool changed = false;
    for (size_t p = 0; p < samples.panels.rows(); ++p) {
      uint32_t index[kPanelLanes];
      float value[kPanelLanes];
      const float* panel = samples.panels.row(p);
      search.nearest(panel, index, value);
      for (size_t v = 0; v < std::min(kPanelLanes, samples.n - p * kPanelLanes); ++v) {
        const size_t s = p * kPanelLanes + v;
        const double weight = samples.weight_of(s);
        changed |= owner[s] != index[v];
        owner[s] = index[v];
        error[s] = std::max(0.0f, value[v] + squares[s]);
        total += weight * static_cast<double>(error[s]);
        mass[index[v]] += weight;
        double* sum = &sums[index[v] * d];
        for (size_t i = 0; i < d; ++i) sum[i] += weight * static_cast<double>(panel[i * kPanelLanes + v]);
      }
    }
    std::vector<size_t> empty;
    for (size_t j = 0; j < k; ++j) {
      if (!(mass[j] > 0)) {
        empty.push_back(j);
        continue;
      }
      for (size_t i = 0; i < d; ++i) centroids(j, i) = static_cast<float>(sums[j * d + i] / mass[j]);
    }
    bool repaired = false;
    if (!empty.empty() && total > 0) {
      std::vector<uint32_t> far(samples.n);
      std::iota(far.begin(), far.end(), 0);
      const size_t wanted = std::min(empty.size(), samples.n);
      std::partial_sort(far.begin(), far.begin() + static_cast<ptrdiff_t>(wanted), far.end(),
                        [&](uint32_t a, uint32_t b) { return error[a] != error[b] ? error[a] > error[b] : a < b; });
      for (size_t e = 0; e < wanted && error[far[e]] > 0; ++e) {
        copy_to(samples, far[e], centroids.row(empty[e]));
        repaired = true;
      }
    }
    if (!repaired && (!changed || total > before * (1 - 1e-4) || total == 0)) break;
    before = total;
  }
  return centroids;
}

}  // namespace occ
