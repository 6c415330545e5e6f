// Dense linear algebra for encoders, on BLAS and LAPACK (OpenBLAS). No other folder includes their headers. It is never
// used for decoding, since results may differ in the last bits from CPU to CPU. BLAS runs on the calling thread only,
// so that results do not depend on the number of threads. All matrices are row-major views with dimensions below 2^31.
// Wrong shapes are bugs (OCC_CHECK). A matrix without the required property gives false.
#pragma once

#include <span>

#include "occ/matrix.h"

namespace occ {

enum class Op { kNone, kTranspose };

// c := alpha op(a) op(b) + beta c. c must not overlap a or b. If beta = 0, c may be uninitialised.
void gemm(Op op_a, Op op_b, float alpha, MatrixView<const float> a, MatrixView<const float> b, float beta,
          MatrixView<float> c);
void gemm(Op op_a, Op op_b, double alpha, MatrixView<const double> a, MatrixView<const double> b, double beta,
          MatrixView<double> c);

// h [n, n] += x^T x for x [m, n]. Fills both triangles and sums in double. Cost: m n^2 multiply-adds.
void add_second_moment(MatrixView<const float> x, MatrixView<double> h);

// Replaces a by the lower triangular L with a = L L^T. The upper triangle becomes zero. Only the lower triangle is
// read. Returns false if a is not positive definite; then the contents of a are undefined.
bool cholesky(MatrixView<double> a);

// b := inverse(op(l)) b for a lower triangular l [n, n] and b [n, m].
void solve_lower(Op op, MatrixView<const double> l, MatrixView<double> b);

// Computes eigenvalues and eigenvectors of a symmetric a [n, n] = sum_i values[i] v_i v_i^T. Only the lower triangle is
// read. The values [n] are in ascending order, and v_i becomes row i of a.
void eigh(MatrixView<double> a, std::span<double> values);

// Computes only the eigenvalues. The contents of a are destroyed.
void eigenvalues(MatrixView<double> a, std::span<double> values);

// The singular value decomposition a [m, n] = u diag(s) vt with k = min(m, n), u [m, k], vt [k, n] and s in descending
// order.
struct Svd {
  Matrix<double> u, vt;
  Matrix<double> s;  // [1, k]
};
Svd svd(MatrixView<const double> a);

// b := inverse(a) b by LU with partial pivoting, for b [n, m]. Returns false if a is singular.
bool solve(MatrixView<const double> a, MatrixView<double> b);

// Makes the rows of a [m, n], m <= n, orthonormal such that the first i rows span the same subspace as before, for
// every i (QR decomposition of a^T with a positive diagonal).
void orthonormalize_rows(MatrixView<double> a);

}  // namespace occ
