#include "simd/simd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "hwy/highway.h"
#include "occ/error.h"

namespace occ {
namespace {

// The target that kernels run on now, as OCC_SIMD spells it.
std::string target_in_use() {
  const int64_t supported = hwy::SupportedTargets() & HWY_TARGETS;
  std::string name;
  for (const char c : std::string(hwy::TargetName(supported & -supported))) {
    name += static_cast<char>(std::tolower(c));
  }
  return name;
}

class SimdLimit : public ::testing::Test {
 protected:
  void TearDown() override {
    unsetenv("OCC_SIMD");
    apply_simd_limit_from_env();
  }
};

TEST_F(SimdLimit, LimitsToTheTargetAskedForOrBelow) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    std::string name;
    for (const char c : std::string(hwy::TargetName(target))) name += static_cast<char>(std::tolower(c));
    setenv("OCC_SIMD", name.c_str(), 1);
    apply_simd_limit_from_env();
    EXPECT_EQ(target_in_use(), name);
  }
}

TEST_F(SimdLimit, VnniStandsAboveTheTargets) {
  const std::string best = target_in_use();
  const bool has = use_vnni();
  setenv("OCC_SIMD", "avx2", 1);
  apply_simd_limit_from_env();
  EXPECT_FALSE(use_vnni());
  setenv("OCC_SIMD", "vnni", 1);
  apply_simd_limit_from_env();
  EXPECT_EQ(use_vnni(), has);
  EXPECT_EQ(target_in_use(), best);
}

TEST_F(SimdLimit, EmptyMeansNoLimit) {
  const std::string best = target_in_use();
  setenv("OCC_SIMD", "", 1);
  apply_simd_limit_from_env();
  EXPECT_EQ(target_in_use(), best);
}

TEST_F(SimdLimit, UnknownNameListsTheValidOnes) {
  setenv("OCC_SIMD", "mmx", 1);
  try {
    apply_simd_limit_from_env();
    FAIL() << "expected a usage error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("found 'mmx'"));
    EXPECT_THAT(e.what(), ::testing::HasSubstr(target_in_use()));
  }
}

}  // namespace
}  // namespace occ
