#include "simd/simd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "hwy/highway.h"
#include "occ/error.h"

namespace occ {
namespace {

class SimdLimit : public ::testing::Test {
 protected:
  void TearDown() override {
    unsetenv("OCC_SIMD");
    apply_simd_limit_from_env();
  }
};

TEST_F(SimdLimit, NamesTheTargetInUse) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    EXPECT_THAT(simd_target_name(), ::testing::StrCaseEq(hwy::TargetName(target)));
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST_F(SimdLimit, LimitsToTheTargetAskedForOrBelow) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    std::string name;
    for (const char c : std::string(hwy::TargetName(target))) name += static_cast<char>(std::tolower(c));
    setenv("OCC_SIMD", name.c_str(), 1);
    apply_simd_limit_from_env();
    EXPECT_EQ(simd_target_name(), name);
  }
}

TEST_F(SimdLimit, EmptyMeansNoLimit) {
  const std::string best = simd_target_name();
  setenv("OCC_SIMD", "", 1);
  apply_simd_limit_from_env();
  EXPECT_EQ(simd_target_name(), best);
}

TEST_F(SimdLimit, UnknownNameListsTheValidOnes) {
  setenv("OCC_SIMD", "mmx", 1);
  try {
    apply_simd_limit_from_env();
    FAIL() << "expected a usage error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("found 'mmx'"));
    EXPECT_THAT(e.what(), ::testing::HasSubstr(simd_target_name()));
  }
}

}  // namespace
}  // namespace occ
