#include "metrics/concentration.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/parallel.h"

namespace occ {
namespace {

constexpr size_t kBuckets = 32768;

size_t bucket_of(float x) { return (std::bit_cast<uint32_t>(x) >> 16) & 0x7fff; }
double bucket_floor(size_t i) { return std::bit_cast<float>(static_cast<uint32_t>(std::min(i, size_t{0x7f80})) << 16); }

}  // namespace

void ConcentrationAccumulator::add(MatrixView<const float> rows) {
  if (rows.size() == 0) return;
  ConcentrationAccumulator panel;
  panel.elements_ = rows.size();
  if (buckets_.empty()) buckets_.resize(kBuckets);
  double sum = 0;
  for (size_t r = 0; r < rows.rows(); ++r) {
    const float* x = rows.row(r);
    double row_sum = 0, row_energy = 0;
    for (size_t c = 0; c < rows.cols(); ++c) {
      const double v = x[c], square = v * v;
      row_sum += v;
      row_energy += square;
      panel.max_abs_ = std::max(panel.max_abs_, std::abs(v));
      Bucket& bucket = buckets_[bucket_of(x[c])];
      ++bucket.count;
      bucket.energy += square;
    }
    sum += row_sum;
    panel.energy_ += row_energy;
  }
  panel.mean_ = sum / static_cast<double>(rows.size());
  for (size_t r = 0; r < rows.rows(); ++r) {
    const float* x = rows.row(r);
    double row2 = 0, row3 = 0, row4 = 0;
    for (size_t c = 0; c < rows.cols(); ++c) {
      const double v = x[c] - panel.mean_, square = v * v;
      row2 += square;
      row3 += square * v;
      row4 += square * square;
    }
    panel.m2_ += row2;
    panel.m3_ += row3;
    panel.m4_ += row4;
  }
  merge(panel);
}

void ConcentrationAccumulator::merge(const ConcentrationAccumulator& o) {
  if (o.elements_ == 0) return;
  const double na = static_cast<double>(elements_), nb = static_cast<double>(o.elements_), n = na + nb;
  const double d = o.mean_ - mean_, dn = d / n;
  m4_ += o.m4_ + d * dn * dn * dn * na * nb * (na * na - na * nb + nb * nb) +
         6 * dn * dn * (na * na * o.m2_ + nb * nb * m2_) + 4 * dn * (na * o.m3_ - nb * m3_);
  m3_ += o.m3_ + d * dn * dn * na * nb * (na - nb) + 3 * dn * (na * o.m2_ - nb * m2_);
  m2_ += o.m2_ + d * dn * na * nb;
  mean_ += dn * nb;
  elements_ += o.elements_;
  energy_ += o.energy_;
  max_abs_ = std::max(max_abs_, o.max_abs_);
  if (o.buckets_.empty()) return;
  buckets_.resize(kBuckets);
  for (size_t i = 0; i < kBuckets; ++i) {
    buckets_[i].count += o.buckets_[i].count;
    buckets_[i].energy += o.buckets_[i].energy;
  }
}

double ConcentrationAccumulator::variance() const { return elements_ == 0 ? 0 : m2_ / static_cast<double>(elements_); }
double ConcentrationAccumulator::rms() const {
  return elements_ == 0 ? 0 : std::sqrt(energy_ / static_cast<double>(elements_));
}
double ConcentrationAccumulator::kurtosis() const {
  // For a constant tensor m2 holds nothing but rounding errors.
  if (m2_ <= 1e-24 * energy_) return 0;
  return static_cast<double>(elements_) * (m4_ / m2_) / m2_;
}
double ConcentrationAccumulator::max_over_rms() const { return energy_ == 0 ? 0 : max_abs_ / rms(); }
double ConcentrationAccumulator::outlier_ratio() const { return energy_ == 0 ? 0 : max_abs_ / std::sqrt(energy_); }

double ConcentrationAccumulator::beyond_3_sigma() const {
  if (elements_ == 0 || energy_ == 0) return 0;
  const double limit = 3 * rms();
  double count = 0;
  for (size_t i = kBuckets; i-- > 0;) {
    const double n = static_cast<double>(buckets_[i].count);
    const double low = bucket_floor(i), high = std::min(bucket_floor(i + 1), max_abs_);
    if (n == 0) continue;
    if (low >= limit) {
      count += n;
    } else if (high > limit) {
      count += n * (high - limit) / (high - low);
    }
    if (low < limit) break;
  }
  return count / static_cast<double>(elements_);
}

double ConcentrationAccumulator::top_energy(double fraction) const {
  if (elements_ == 0 || energy_ == 0) return 0;
  double left = fraction * static_cast<double>(elements_), energy = 0;
  for (size_t i = kBuckets; i-- > 0 && left > 0;) {
    const double n = static_cast<double>(buckets_[i].count);
    if (n == 0) continue;
    const double part = std::min(1.0, left / n);
    energy += part * buckets_[i].energy;
    left -= n;
  }
  return std::min(1.0, energy / energy_);
}

ConcentrationAccumulator measure_concentration(MatrixView<const float> x) {
  // Accumulators are large, so there are at most 16. The panels depend on the shape alone, not on the number of
  // threads, and so does the result.
  const size_t rows = std::max(ceil_div(x.rows(), 16), ceil_div(size_t{1} << 18, std::max<size_t>(1, x.cols())));
  std::vector<ConcentrationAccumulator> panels(ceil_div(x.rows(), rows));
  parallel_for(panels.size(),
               [&](size_t i) { panels[i].add(x.row_range(i * rows, std::min(rows, x.rows() - i * rows))); });
  ConcentrationAccumulator all;
  for (const auto& p : panels) all.merge(p);
  return all;
}

double coding_gain_bits(std::span<const double> variances, double relative_floor) {
  if (variances.empty()) return 0;
  const double n = static_cast<double>(variances.size());
  double mean = 0;
  for (const double v : variances) mean += v / n;
  if (mean <= 0) return 0;
  double sum = 0, log_sum = 0;
  for (const double v : variances) {
    const double raised = std::max(v / mean, relative_floor);
    if (raised <= 0) return std::numeric_limits<double>::infinity();
    sum += raised;
    log_sum += std::log2(raised);
  }
  return 0.5 * (std::log2(sum / n) - log_sum / n);
}

double effective_rank(std::span<const double> eigenvalues) {
  double total = 0;
  for (const double v : eigenvalues) total += std::max(v, 0.0);
  if (total <= 0) return 0;
  double entropy = 0;
  for (const double v : eigenvalues) {
    if (v > 0) entropy -= v / total * std::log(v / total);
  }
  return std::exp(entropy);
}

double participation_ratio(std::span<const double> energies) {
  double sum = 0, squares = 0;
  for (const double e : energies) {
    sum += e;
    squares += e * e;
  }
  return squares > 0 ? sum / squares * sum : 0;
}

}  // namespace occ
