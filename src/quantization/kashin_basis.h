// The second basis of `kashin`: an orthonormal matrix Q for every block of `block` columns (the last one may be
// shorter; 0: one block of all columns).
//   dct         the inverse of the orthonormal DCT-II
//   hadamard    the Walsh-Hadamard transform of each run of p columns, where p is the largest power of two that divides
//               the length of the block
//   orthogonal  a dense random matrix of at most 512 columns, made from `seed` in a fixed order of f64 operations
//               (docs/reference/format.md, section 7): nearly normal vectors, orthonormalised one after the other by
//               Gram-Schmidt, twice
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/lazy.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "simd/dct_plan.h"

namespace occ {

class KashinBasis {
 public:
  static constexpr size_t kMaxDense = 512;
  // Reads the parameters basis, block and seed. Throws an error of `kind` if they do not suit the number of columns.
  KashinBasis(const Params& params, size_t cols, ErrorKind kind);

  size_t block() const { return block_; }
  // The number of floats that apply() needs to work in.
  size_t work_size() const;
  // Maps 16 vectors at once: out = Q from, or out = Q^T from if transposed. Both are panels [cols, 16] (simd/panel.h)
  // of a range of columns that begins with a block. The contents of `from` are destroyed. The arrays must not overlap.
  void apply(float* from, float* out, size_t cols, bool transposed, float* work) const;

 private:
  struct Part {  // what blocks of one length need
    size_t length = 0, run = 0;
    std::optional<DctPlan<float>> plan;
    Matrix<float> dense, transposed;
  };
  struct Parts {
    Part whole, rest;
  };
  const Parts& parts() const;
  Part make_part(size_t length) const;
  static void apply_part(const Part& part, float* from, float* out, bool transposed, float* work);

  std::string kind_;
  uint64_t seed_;
  size_t block_, rest_ = 0;
  Lazy<Parts> parts_;
};

// Computes the matrix [n, n] of basis=orthogonal in f64 and rounds it to f32.
Matrix<float> seeded_orthogonal(size_t n, uint64_t seed);

}  // namespace occ
