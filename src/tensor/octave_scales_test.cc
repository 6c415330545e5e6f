#include "tensor/octave_scales.h"

#include <gtest/gtest.h>

namespace occ {
namespace {

TEST(OctaveScales, ArePowersOfTwoRoundedOnce) {
  for (int i = 0; i < kOctaveCodes; ++i) {
    EXPECT_EQ(kOctaveFractions[static_cast<size_t>(i)], static_cast<float>(exp2l(static_cast<long double>(i) / 64)));
  }
  EXPECT_EQ(octave_scale(0), 1);
  EXPECT_EQ(octave_scale(-64 * 3), 0.125f);
  EXPECT_EQ(octave_scale(kMostOctaveCode), 0x1p120f);
  EXPECT_EQ(octave_scale(-1), kOctaveFractions[63] / 2);
}

TEST(OctaveScales, NearestCodeOfEveryStep) {
  for (const int step : {1, 4, 32}) {
    for (int code = -640; code <= 640; code += step) {
      EXPECT_EQ(octave_code_near(static_cast<double>(octave_scale(code)), step), code);
      EXPECT_EQ(octave_code_near(std::exp2((code + 0.4 * step) / 64), step), code);
    }
  }
  EXPECT_EQ(octave_code_near(1e300, 8), kMostOctaveCode);
  EXPECT_EQ(octave_code_near(1e-300, 8), kLeastOctaveCode);
}

}  // namespace
}  // namespace occ
