// How SIMD works here. Kernels are written once against Highway and compiled for every instruction set of the
// architecture; HWY_DYNAMIC_DISPATCH picks the best one that the CPU has, once per panel, never inside loops. A kernel
// file looks like this:
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "simd/foo.cc"     // relative to src/
//   #include "hwy/foreach_target.h"
//   #include "hwy/highway.h"
//   HWY_BEFORE_NAMESPACE();
//   namespace occ { namespace HWY_NAMESPACE { void FooKernel(...) {...} } }
//   HWY_AFTER_NAMESPACE();
//   #if HWY_ONCE
//   namespace occ { HWY_EXPORT(FooKernel);  void foo(...) { HWY_DYNAMIC_DISPATCH(FooKernel)(...); } }
//   #endif
//
// Rules of every kernel that decoding runs through: the same operations in the same order for each output on every
// target (vector lanes are independent outputs, or the tree is spelled out), multiply and add unfused (no MulAdd), no
// libm. Then a file decodes to the same floats everywhere, and tests compare targets bit for bit.
//
// Targets on x86-64: ssse3 (the baseline), sse4, avx2, avx3 (AVX-512). The environment variable OCC_SIMD limits them.
#pragma once

namespace occ {

// Applies OCC_SIMD=ssse3|sse4|avx2|avx3: no better target than this one is used from now on (a target that the CPU
// lacks limits nothing). Unset or empty: no limit. Call once at start, before other threads run. An unknown value is a
// usage error that lists the valid ones.
void apply_simd_limit_from_env();

}  // namespace occ
