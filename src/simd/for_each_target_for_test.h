// Test helper: runs a body once on every SIMD target that was compiled and that this CPU has.
#pragma once

#include <gtest/gtest.h>

#include "hwy/highway.h"
#include "simd/simd.h"

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

// The same where VNNI has kernels of its own: they get one more run, and no part in the others.
template <typename Body>
void for_each_simd_path(const Body& body) {
  const bool has_vnni = use_vnni();
  forbid_vnni(true);
  for_each_simd_target(body);
  forbid_vnni(false);
  SCOPED_TRACE("VNNI");
  if (has_vnni) body();
}

}  // namespace occ
