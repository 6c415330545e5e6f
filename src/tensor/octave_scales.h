// Scales as powers of two: 2^(code / 64), code an integer. A stage that stores scales in steps of 1 / n of an octave has
// the codes that are multiples of 64 / n.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace occ {

constexpr int kOctaveCodes = 64;
// Codes of scales that are normal floats with some room on both sides.
constexpr int kLeastOctaveCode = -120 * kOctaveCodes, kMostOctaveCode = 120 * kOctaveCodes;

// 2^(i / 64) rounded to f32. They are part of the file format, so no math library computes them.
extern const std::array<float, kOctaveCodes> kOctaveFractions;

// 2^(code / 64), for codes in the range above.
inline float octave_scale(int code) {
  const int octave = code >> 6;  // rounds down
  return std::ldexp(kOctaveFractions[static_cast<size_t>(code & 63)], octave);
}

// The code nearest to the scale among the multiples of `step`, within the range above. scale > 0.
int octave_code_near(double scale, int step);

}  // namespace occ
