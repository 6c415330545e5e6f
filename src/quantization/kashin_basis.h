// The second basis of `kashin`: an orthonormal map Q of blocks of columns, `block` of them each (the last may be
// shorter; 0: all in one).
//   dct         inverse of the orthonormal DCT-II
//   hadamard    Walsh-Hadamard of each run of p columns, p the largest power of two that divides the block's length
//   orthogonal  dense, made from `seed` in a fixed order of f64 operations (docs/reference/format.md, section 7): the
//               rows of normal-like vectors orthonormalised one after the other, twice (Gram-Schmidt). Up to 512
//               columns.
#pragma once

#include <memory>
#include <optional>

#include "base/error.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "simd/dct_plan.h"

namespace occ {

class KashinBasis {
 public:
  static constexpr size_t kMaxDense = 512;
  // Parameters basis, block and seed; errors of kind `kind`.
  KashinBasis(const Params& params, size_t cols, ErrorKind kind);

  size_t block() const { return block_; }
  // Floats that apply() needs to work in.
  size_t work_size() const;
  // 16 vectors, element (c, k) at [16 c + k], of a range of columns that begins with a block: out = Q from, or
  // out = Q^T from if transposed. `from` is destroyed; arrays are disjoint.
  void apply(float* from, float* out, size_t cols, bool transposed, float* work) const;

 private:
  struct Part {  // for blocks of one length
    size_t length = 0, run = 0;
    std::optional<DctPlan<float>> plan;
    Matrix<float> dense, transposed;
  };
  Part make_part(const std::string& kind, size_t length, uint64_t seed) const;
  static void apply_part(const Part& part, float* from, float* out, bool transposed, float* work);

  size_t block_;
  Part whole_, rest_;
};

// Orthonormal [n, n] from a seed, f64 rounded once: basis=orthogonal.
Matrix<float> seeded_orthogonal(size_t n, uint64_t seed);

}  // namespace occ
