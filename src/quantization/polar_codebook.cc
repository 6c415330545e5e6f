#include "quantization/polar_codebook.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "base/cache.h"
#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "quantization/polar_search.h"

namespace occ {
namespace {

using Doubled = std::array<int16_t, 8>;

int squared_norm(const Doubled& v) {
  return std::accumulate(v.begin(), v.end(), 0, [](int sum, int x) { return sum + x * x; });
}

// v has doubled coordinates. It is in E8 if all of them are even or all are odd, and their sum is a multiple of 4.
bool in_e8(const Doubled& v) {
  int sum = 0;
  for (const int x : v) {
    if ((x ^ v[0]) & 1) return false;
    sum += x;
  }
  return sum % 4 == 0;
}

constexpr int kMostNorm = 64;  // largest squared norm in doubled coordinates: |2 a|^2 for |a|^2 = 16

void append_e8(Doubled& v, size_t at, int norm, std::vector<Doubled>& out) {
  if (at == v.size()) {
    if (norm == 0 || !in_e8(v)) return;
    Doubled half = v;
    const bool even = (v[0] & 1) == 0;
    for (int16_t& x : half) x = static_cast<int16_t>(x / 2);
    // Skips twice a shorter point, which has the same direction; three times a point is too long.
    if (!(even && in_e8(half))) out.push_back(v);
    return;
  }
  for (int x = -8; x <= 8; ++x) {
    if (norm + x * x > kMostNorm || (at > 0 && ((x ^ v[0]) & 1))) continue;
    v[at] = static_cast<int16_t>(x);
    append_e8(v, at + 1, norm + x * x, out);
  }
}

// Squared norms are 2 N with N = 1 .. 8, and inner products <a, c> are integers. For a candidate c, the nearest chosen
// a has the largest sign(<a, c>) <a, c>^2 / N_a, which is the key of c. The candidate with the smallest key / N_c is
// chosen next. Multiplied by 840, the least common multiple of 1 .. 8, both are integers below 2^28.
//
// Candidates are grouped by the nearest of the 240 shortest vectors. A newly chosen direction only matters for
// candidates that are nearer to it than `reach`, the largest angle between a candidate and its nearest chosen
// direction. So most groups can be skipped. These bounds are in floating point, with a margin that keeps the result
// exact.
class GreedySelection {
 public:
  GreedySelection() : all_(e8_directions()), count_(all_.size() / 8) {
    const std::vector<uint32_t> group = nearest_roots();
    for (const uint32_t g : group) ++begin_[g + 1];
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    id_.resize(count_);
    std::array<size_t, kGroups + 1> next = begin_;
    for (size_t c = 0; c < count_; ++c) id_[next[group[c]]++] = static_cast<uint32_t>(c);
    for (auto& column : column_) column.resize(count_);
    weight_.resize(count_);
    key_.assign(count_, -300'000);  // less than every possible key
    for (size_t k = 0; k < count_; ++k) {
      const int16_t* v = all_.data() + 8 * size_t{id_[k]};
      for (size_t i = 0; i < 8; ++i) column_[i][k] = v[i];
      weight_[k] = 840 / half_norm(v);
    }
    for (size_t g = 0; g < kGroups; ++g) {
      double least = 1;
      for (size_t k = begin_[g]; k < begin_[g + 1]; ++k) least = std::min(least, cosine(id_[k], g));
      radius_[g] = std::acos(least);
      update_first(g);
    }
  }

  std::vector<int16_t> choose(size_t count) {
    std::vector<int16_t> out;
    for (size_t n = 0; n < count; ++n) {
      size_t best = 0;
      for (size_t g = 1; g < kGroups; ++g) {
        if (std::pair(least_[g], first_[g]) < std::pair(least_[best], first_[best])) best = g;
      }
      const uint32_t chosen = first_[best];
      // key / (840 N_c) = 4 cos^2, so every candidate has at most this angle to its nearest chosen direction.
      const double square = static_cast<double>(least_[best]) / (4.0 * 840 * 840);
      const double reach = n == 0 ? 4 : std::acos(std::copysign(std::sqrt(std::abs(square)), square)) + 1e-6;
      const int16_t* a = all_.data() + 8 * size_t{chosen};
      out.insert(out.end(), a, a + 8);
      for (size_t g = 0; g < kGroups; ++g) {
        if (std::acos(std::clamp(cosine(chosen, g), -1.0, 1.0)) - radius_[g] > reach) continue;
        add(g, a);
        update_first(g);
      }
    }
    return out;
  }

 private:
  static constexpr size_t kGroups = 240;

  static int half_norm(const int16_t* v) {
    int norm = 0;
    for (size_t i = 0; i < 8; ++i) norm += v[i] * v[i];
    return norm / 8;
  }
  // Returns the cosine between candidate c and the shortest vector of group g.
  double cosine(size_t c, size_t g) const {
    int dot = 0;
    for (size_t i = 0; i < 8; ++i) dot += all_[8 * c + i] * all_[8 * g + i];
    return dot / (8 * std::sqrt(half_norm(all_.data() + 8 * c)));
  }
  std::vector<uint32_t> nearest_roots() const {
    std::vector<uint32_t> out(count_);
    for (size_t c = 0; c < count_; ++c) {
      int most = std::numeric_limits<int>::min();
      for (size_t g = 0; g < kGroups; ++g) {
        int dot = 0;
        for (size_t i = 0; i < 8; ++i) dot += all_[8 * c + i] * all_[8 * g + i];
        if (dot > most) most = dot, out[c] = static_cast<uint32_t>(g);
      }
    }
    return out;
  }
  void add(size_t g, const int16_t* a) {
    const int32_t weight = 840 / half_norm(a);
    for (size_t k = begin_[g]; k < begin_[g + 1]; ++k) {
      int16_t doubled = 0;
      for (size_t i = 0; i < 8; ++i) doubled = static_cast<int16_t>(doubled + column_[i][k] * a[i]);
      const int32_t dot = doubled / 4;
      key_[k] = std::max(key_[k], dot * std::abs(dot) * weight);
    }
  }
  // Finds the smallest key / N in the group, and the first candidate that has it.
  void update_first(size_t g) {
    int32_t least = std::numeric_limits<int32_t>::max();
    for (size_t k = begin_[g]; k < begin_[g + 1]; ++k) least = std::min(least, key_[k] * weight_[k]);
    size_t k = begin_[g];
    while (key_[k] * weight_[k] != least) ++k;
    least_[g] = least;
    first_[g] = id_[k];
  }

  const std::vector<int16_t> all_;
  const size_t count_;
  // Candidates in the order of their groups, and by id within a group.
  std::array<size_t, kGroups + 1> begin_ = {};
  std::vector<uint32_t> id_;
  std::array<std::vector<int16_t>, 8> column_;
  std::vector<int32_t> weight_, key_;
  std::array<double, kGroups> radius_ = {};
  std::array<int32_t, kGroups> least_ = {};
  std::array<uint32_t, kGroups> first_ = {};
};

// Returns `count` vectors. Each coordinate is the number of ones among 512 random bits, minus 256. Coordinate i,
// counted over all vectors, takes the words 8 i to 8 i + 7 of the random stream `seed`. Zero vectors become
// (1, 0, ...).
std::vector<int16_t> binomial_vectors(size_t count, size_t dim, uint64_t seed) {
  std::vector<int16_t> out(count * dim);
  for (size_t i = 0; i < out.size(); ++i) {
    int sum = -256;
    for (size_t j = 0; j < 8; ++j) sum += std::popcount(random_word(seed, 8 * i + j));
    out[i] = static_cast<int16_t>(sum);
  }
  for (size_t v = 0; v < count; ++v) {
    const auto first = out.begin() + static_cast<ptrdiff_t>(v * dim);
    if (std::all_of(first, first + static_cast<ptrdiff_t>(dim), [](int x) { return x == 0; })) *first = 1;
  }
  return out;
}

constexpr uint64_t kRandomSeed = 1, kSampleSeed = 2;
constexpr int kRounds = 8;
constexpr int64_t kLength = 16'384;

// Scales the sum to length kLength and rounds it: floor((2 kLength x + n) / (2 n)), where n is the length rounded down.
// Returns false for a zero vector.
bool normalise(const int64_t* sum, size_t dim, int16_t* out) {
  int64_t square = 0;
  for (size_t i = 0; i < dim; ++i) square += sum[i] * sum[i];
  auto n = static_cast<int64_t>(std::sqrt(static_cast<double>(square)));
  while (n * n > square) --n;
  while ((n + 1) * (n + 1) <= square) ++n;
  if (n == 0) return false;
  for (size_t i = 0; i < dim; ++i) {
    const int64_t over = 2 * kLength * sum[i] + n, floor = over / (2 * n) - (over % (2 * n) < 0);
    out[i] = static_cast<int16_t>(floor);
  }
  return true;
}

// Inner products stay below 2^24, so that the search in f32 is exact.
std::vector<int16_t> kmeans_directions(size_t dim, unsigned bits) {
  const size_t count = size_t{1} << bits, samples = std::max<size_t>(16 * count, 1 << 14);
  const std::vector<int16_t> x = binomial_vectors(samples, dim, kSampleSeed);
  std::vector<int16_t> centers(count * dim);
  for (size_t k = 0; k < count; ++k) {
    std::vector<int64_t> sum(x.begin() + static_cast<ptrdiff_t>(k * dim),
                             x.begin() + static_cast<ptrdiff_t>((k + 1) * dim));
    normalise(sum.data(), dim, centers.data() + k * dim);
  }
  std::vector<float> values(x.begin(), x.end());
  std::vector<DirectionHit> hits(samples);
  for (int round = 0; round < kRounds; ++round) {
    Matrix<float> points = Matrix<float>::uninitialized(count, dim);
    std::copy(centers.begin(), centers.end(), points.data());
    const DirectionSearch search(std::move(points));
    constexpr size_t kPart = 4096;
    parallel_for(ceil_div(samples, kPart), [&](size_t p) {
      const size_t first = p * kPart, n = std::min(kPart, samples - first);
      search.nearest(values.data() + first * dim, n, hits.data() + first);
    });
    std::vector<int64_t> sums(count * dim);
    for (size_t v = 0; v < samples; ++v) {
      for (size_t i = 0; i < dim; ++i) sums[hits[v].index * dim + i] += x[v * dim + i];
    }
    for (size_t k = 0; k < count; ++k) normalise(sums.data() + k * dim, dim, centers.data() + k * dim);
  }
  return centers;
}

std::string source_name(DirectionSource source) {
  switch (source) {
    case DirectionSource::kE8Greedy:
      return "e8-greedy";
    case DirectionSource::kRandom:
      return "random";
    case DirectionSource::kKmeans:
      return "kmeans";
  }
  OCC_CHECK(false);
}

}  // namespace

std::vector<int16_t> e8_directions() {
  std::vector<Doubled> points;
  Doubled v{};
  append_e8(v, 0, 0, points);
  OCC_CHECK(points.size() == 337'920);
  std::stable_sort(points.begin(), points.end(),
                   [](const Doubled& a, const Doubled& b) { return squared_norm(a) < squared_norm(b); });
  std::vector<int16_t> out;
  out.reserve(8 * points.size());
  for (const Doubled& p : points) out.insert(out.end(), p.begin(), p.end());
  return out;
}

std::vector<int16_t> generate_directions(DirectionSource source, size_t dim, unsigned bits) {
  OCC_CHECK(bits <= 16);
  const size_t count = size_t{1} << bits;
  switch (source) {
    case DirectionSource::kE8Greedy:
      OCC_CHECK(dim == 8);
      return GreedySelection().choose(count);
    case DirectionSource::kRandom:
      return binomial_vectors(count, dim, kRandomSeed);
    case DirectionSource::kKmeans:
      return kmeans_directions(dim, bits);
  }
  OCC_CHECK(false);
}

std::vector<int16_t> cached_directions(DirectionSource source, size_t dim, unsigned bits) {
  if (source == DirectionSource::kRandom) return generate_directions(source, dim, bits);
  const std::string name = fmt::format("directions-{}-{}-{}.v1", source_name(source), dim, bits);
  std::vector<int16_t> points((size_t{1} << bits) * dim);
  const size_t bytes = points.size() * sizeof(int16_t);
  const std::optional<Bytes> cached = read_cache(name);
  if (cached && cached->size() == bytes) {
    std::memcpy(points.data(), cached->data(), bytes);
    return points;
  }
  points = generate_directions(source, dim, bits);
  write_cache(name, {reinterpret_cast<const uint8_t*>(points.data()), bytes});
  return points;
}

Matrix<float> unit_directions(const std::vector<int16_t>& points, size_t dim) {
  Matrix<float> out = Matrix<float>::uninitialized(points.size() / dim, dim);
  for (size_t k = 0; k < out.rows(); ++k) {
    const int16_t* p = points.data() + k * dim;
    double square = 0;
    for (size_t i = 0; i < dim; ++i) square += static_cast<double>(p[i]) * static_cast<double>(p[i]);
    const double inverse = 1 / std::sqrt(square);
    for (size_t i = 0; i < dim; ++i) out(k, i) = static_cast<float>(static_cast<double>(p[i]) * inverse);
  }
  return out;
}

}  // namespace occ
