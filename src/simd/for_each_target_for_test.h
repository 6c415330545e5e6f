// Test helper: runs a body once on every SIMD target that was compiled and that this CPU has.
#pragma once

#include <gtest/gtest.h>

#include "hwy/highway.h"

namespace occ {

template <typename Body>
void for_each_simd_target(const Body& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    body();
    hwy::SetSupportedTargetsForTest(0);
  }
}

}  // namespace occ
