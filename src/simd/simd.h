// How SIMD is used in this project. Kernels are written once with the Highway library and compiled for every
// instruction set of the architecture. HWY_DYNAMIC_DISPATCH picks the best one that the CPU has, once per panel and
// never in inner loops. A file with kernels looks like this:
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
// Kernels that decoding uses follow these rules. Every output is computed by the same operations in the same order on
// every target: lanes of vectors are independent outputs, or the order of a sum is written out. Multiplications and
// additions are not fused (no MulAdd), and no math library is called. A file then decodes to the same floats on every
// CPU, and tests compare the targets bit for bit.
//
// Targets on x86-64: ssse3 (the baseline), sse4, avx2, avx3 (AVX-512). The environment variable OCC_SIMD limits them.
// Above them stand kernels of their own for AVX-512 with byte dot products (vnni), which Highway 1.0.3 does not have.
#pragma once

namespace occ {

// Applies OCC_SIMD=ssse3|sse4|avx2|avx3|vnni: no better target than this one is used from now on. A target that the CPU
// does not have limits nothing; without a value there is no limit. An unknown value is a usage error that lists the
// valid ones. To be called once at the start, before other threads run.
void apply_simd_limit_from_env();

// Whether kernels for VNNI are to be used: the CPU has AVX-512 F, BW, DQ, VL and VNNI, and no limit forbids them.
bool use_vnni();
// For tests: forbids them, or no longer.
void forbid_vnni(bool forbid);

}  // namespace occ
