#include "simd/trig.h"

namespace occ {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Both for x in [0, pi / 4]: the first dropped terms are x^18 / 18! < 3e-18 and x^19 / 19! < 1e-19.
double cos_small(double x) {
  const double z = x * x;
  double p = 1.0 / 20922789888000.0;  // 1 / 16!
  p = p * z - 1.0 / 87178291200.0;
  p = p * z + 1.0 / 479001600.0;
  p = p * z - 1.0 / 3628800.0;
  p = p * z + 1.0 / 40320.0;
  p = p * z - 1.0 / 720.0;
  p = p * z + 1.0 / 24.0;
  p = p * z - 0.5;
  return p * z + 1.0;
}

double sin_small(double x) {
  const double z = x * x;
  double p = 1.0 / 355687428096000.0;  // 1 / 17!
  p = p * z - 1.0 / 1307674368000.0;
  p = p * z + 1.0 / 6227020800.0;
  p = p * z - 1.0 / 39916800.0;
  p = p * z + 1.0 / 362880.0;
  p = p * z - 1.0 / 5040.0;
  p = p * z + 1.0 / 120.0;
  p = p * z - 1.0 / 6.0;
  return p * z * x + x;
}

double angle(uint64_t a, uint64_t b) { return kPi * static_cast<double>(a) / static_cast<double>(b); }

}  // namespace

double cos_pi(uint64_t a, uint64_t b) {
  a %= 2 * b;
  if (a > b) a = 2 * b - a;  // cos(2 pi - t) = cos t
  const bool negative = 2 * a > b;
  if (negative) a = b - a;  // cos(pi - t) = -cos t; now t <= pi / 2
  const double value = 4 * a <= b ? cos_small(angle(a, b)) : sin_small(angle(b - 2 * a, 2 * b));
  return negative ? -value : value;
}

double sin_pi(uint64_t a, uint64_t b) { return cos_pi(2 * a + 3 * b, 2 * b); }  // sin t = cos(t - pi / 2)

}  // namespace occ
