// Dense linear algebra for encoders, on BLAS and LAPACK (OpenBLAS): the only folder that includes their headers. Never
// used for decoding: results may differ in the last bits from CPU to CPU. BLAS runs on the calling thread only, so
// parallel callers and thread counts do not change results. All matrices are row-major views; dimensions < 2^31.
// Wrong shapes are bugs (OCC_CHECK); matrices without the needed property give false.
#pragma once

#include <span>

#include "occ/matrix.h"

namespace occ {

enum class Op { kNone, kTranspose };

// c = alpha op(a) op(b) + beta c. c must not overlap a or b. With beta = 0, c may be uninitialised.
void gemm(Op op_a, Op op_b, float alpha, MatrixView<const float> a, MatrixView<const float> b, float beta,
          MatrixView<float> c);
void gemm(Op op_a, Op op_b, double alpha, MatrixView<const double> a, MatrixView<const double> b, double beta,
          MatrixView<double> c);

// h [n, n] += x^T x for x [m, n], both triangles; sums in double. Cost: m n^2 multiply-adds.
void add_second_moment(MatrixView<const float> x, MatrixView<double> h);

// Lower triangular L with a = L L^T, in place; the upper triangle becomes zero. False (a is then garbage) if a is not
// positive definite. Reads the lower triangle only.
bool cholesky(MatrixView<double> a);

// b := inverse(op(l)) b for lower triangular l [n, n], b [n, m].
void solve_lower(Op op, MatrixView<const double> l, MatrixView<double> b);

// Symmetric a [n, n] (lower triangle read) = sum_i values[i] v_i v_i^T, values rising; v_i becomes row i of a.
void eigh(MatrixView<double> a, std::span<double> values);

// The values alone; a is destroyed.
void eigenvalues(MatrixView<double> a, std::span<double> values);

// a [m, n] = u diag(s) vt with k = min(m, n): u [m, k], s falling, vt [k, n].
struct Svd {
  Matrix<double> u, vt;
  Matrix<double> s;  // [1, k]
};
Svd svd(MatrixView<const double> a);

// b := inverse(a) b by LU with partial pivoting, b [n, m]. False if a is singular.
bool solve(MatrixView<const double> a, MatrixView<double> b);

// Rows of a [m, n], m <= n, become orthonormal and span the same nested subspaces (QR of a^T, with positive diagonal).
void orthonormalize_rows(MatrixView<double> a);

}  // namespace occ
