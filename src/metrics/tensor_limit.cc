#include "metrics/tensor_limit.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace occ {

void TensorLimit::add(uint64_t elements, double energy) {
  if (elements == 0) return;
  const auto n = static_cast<double>(elements);
  tensors_.push_back({n, energy / n});
  elements_ += n;
  energy_ += energy;
}

TensorLimit::Point TensorLimit::at(double log2_theta) const {
  const double theta = std::exp2(log2_theta);
  Point out;
  for (const Tensor& t : tensors_) {
    out.nmse += t.elements * std::min(theta, t.variance);
    if (t.variance > theta) out.bits += 0.5 * t.elements * std::log2(t.variance / theta);
  }
  out.nmse /= energy_;
  out.bits /= elements_;
  return out;
}

// Bisects the logarithm of the water level for the lowest one that is not too low.
template <typename Low>
TensorLimit::Point TensorLimit::search(const Low& too_low) const {
  double high = -1000;
  for (const Tensor& t : tensors_) high = std::max(high, t.variance > 0 ? std::log2(t.variance) : high);
  double low = std::max(high - 900, -1000.0);
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (too_low(at(middle)) ? low : high) = middle;
  }
  return at(high);
}

double TensorLimit::nmse_at(double bits) const {
  if (!(energy_ > 0)) return 0;
  if (bits <= 0) return 1;
  return search([&](const Point& p) { return p.bits > bits; }).nmse;
}

double TensorLimit::bits_at(double nmse) const {
  if (!(energy_ > 0) || nmse >= 1) return 0;
  if (!(nmse > 0)) return std::numeric_limits<double>::infinity();
  return search([&](const Point& p) { return p.nmse < nmse; }).bits;
}

}  // namespace occ
