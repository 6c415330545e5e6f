// Row-major matrices are column-major transposes, so most routines run without copying: a lower triangle here is
// LAPACK's 'U', rows of eigenvectors are its columns.
#include "linalg/linalg.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <climits>
#include <vector>

#include "base/check.h"

namespace occ {
namespace {

int to_int(size_t n) {
  OCC_CHECK(n <= INT_MAX);
  return static_cast<int>(n);
}

// Called before every call of BLAS; limits it to one thread, once per process.
void single_threaded() {
  static const bool done = [] {
    openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(done);
}

template <typename T>
int leading(const MatrixView<T>& a) {
  return to_int(std::max<size_t>(a.stride(), 1));
}

CBLAS_TRANSPOSE cblas_op(Op op) { return op == Op::kNone ? CblasNoTrans : CblasTrans; }

template <typename T>
Shape shape_of(Op op, const MatrixView<const T>& a) {
  return op == Op::kNone ? a.shape() : Shape{a.cols(), a.rows()};
}

template <typename T, typename Gemm>
void checked_gemm(Gemm gemm_function, Op op_a, Op op_b, T alpha, const MatrixView<const T>& a,
                  const MatrixView<const T>& b, T beta, const MatrixView<T>& c) {
  const Shape sa = shape_of(op_a, a), sb = shape_of(op_b, b);
  OCC_CHECK(sa.cols == sb.rows && c.rows() == sa.rows && c.cols() == sb.cols);
  if (c.size() == 0) return;
  single_threaded();
  gemm_function(CblasRowMajor, cblas_op(op_a), cblas_op(op_b), to_int(c.rows()), to_int(c.cols()), to_int(sa.cols),
                alpha, a.data(), leading(a), b.data(), leading(b), beta, c.data(), leading(c));
}

void mirror_lower(MatrixView<double> a) {
  constexpr size_t kTile = 32;  // two tiles stay in the first-level cache
  for (size_t r0 = 0; r0 < a.rows(); r0 += kTile) {
    for (size_t c0 = 0; c0 <= r0; c0 += kTile) {
      for (size_t r = r0; r < std::min(r0 + kTile, a.rows()); ++r) {
        for (size_t c = c0; c < std::min(c0 + kTile, r); ++c) a(c, r) = a(r, c);
      }
    }
  }
}

Matrix<double> copy_of(MatrixView<const double> a) {
  Matrix<double> out = Matrix<double>::uninitialized(a.rows(), a.cols());
  for (size_t r = 0; r < a.rows(); ++r) std::copy_n(a.row(r), a.cols(), out.row(r));
  return out;
}

}  // namespace

void gemm(Op op_a, Op op_b, float alpha, MatrixView<const float> a, MatrixView<const float> b, float beta,
          MatrixView<float> c) {
  checked_gemm<float>(cblas_sgemm, op_a, op_b, alpha, a, b, beta, c);
}
void gemm(Op op_a, Op op_b, double alpha, MatrixView<const double> a, MatrixView<const double> b, double beta,
          MatrixView<double> c) {
  checked_gemm<double>(cblas_dgemm, op_a, op_b, alpha, a, b, beta, c);
}

void add_second_moment(MatrixView<const float> x, MatrixView<double> h) {
  OCC_CHECK(h.rows() == x.cols() && h.cols() == x.cols());
  if (x.size() == 0) return;
  single_threaded();
  constexpr size_t kRows = 256;
  Matrix<double> panel = Matrix<double>::uninitialized(std::min(kRows, x.rows()), x.cols());
  for (size_t r0 = 0; r0 < x.rows(); r0 += kRows) {
    const size_t rows = std::min(kRows, x.rows() - r0);
    for (size_t r = 0; r < rows; ++r) std::copy_n(x.row(r0 + r), x.cols(), panel.row(r));
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, to_int(x.cols()), to_int(rows), 1.0, panel.data(),
                to_int(x.cols()), 1.0, h.data(), leading(h));
  }
  mirror_lower(h);
}

bool cholesky(MatrixView<double> a) {
  OCC_CHECK(a.rows() == a.cols());
  if (a.size() == 0) return true;
  single_threaded();
  const lapack_int info = LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', to_int(a.rows()), a.data(), leading(a));
  OCC_CHECK(info >= 0 || info == -4);  // -4: a has NaN
  for (size_t r = 0; r < a.rows(); ++r) std::fill(a.row(r) + r + 1, a.row(r) + a.cols(), 0.0);
  return info == 0;
}

void solve_lower(Op op, MatrixView<const double> l, MatrixView<double> b) {
  OCC_CHECK(l.rows() == l.cols() && b.rows() == l.rows());
  if (b.size() == 0) return;
  single_threaded();
  cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, cblas_op(op), CblasNonUnit, to_int(b.rows()), to_int(b.cols()), 1.0,
              l.data(), leading(l), b.data(), leading(b));
}

namespace {

void symmetric_eigen(char job, MatrixView<double> a, std::span<double> values) {
  OCC_CHECK(a.rows() == a.cols() && values.size() == a.rows());
  if (a.size() == 0) return;
  single_threaded();
  const lapack_int info =
      LAPACKE_dsyevd(LAPACK_COL_MAJOR, job, 'U', to_int(a.rows()), a.data(), leading(a), values.data());
  OCC_CHECK(info == 0);
}

}  // namespace

void eigh(MatrixView<double> a, std::span<double> values) { symmetric_eigen('V', a, values); }
void eigenvalues(MatrixView<double> a, std::span<double> values) { symmetric_eigen('N', a, values); }

Svd svd(MatrixView<const double> a) {
  const size_t m = a.rows(), n = a.cols(), k = std::min(m, n);
  Svd out{Matrix<double>(m, k), Matrix<double>(k, n), Matrix<double>(1, k)};
  if (k == 0) return out;
  single_threaded();
  Matrix<double> work = copy_of(a);
  // a^T = v s u^T: LAPACK's u is v by columns, which is vt by rows; its vt is u^T by columns, which is u by rows.
  lapack_int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', to_int(n), to_int(m), work.data(), to_int(n), out.s.data(),
                                   out.vt.data(), to_int(n), out.u.data(), to_int(k));
  if (info > 0) {  // divide and conquer did not converge; plain QR iteration converges
    work = copy_of(a);
    std::vector<double> superb(k);
    info = LAPACKE_dgesvd(LAPACK_COL_MAJOR, 'S', 'S', to_int(n), to_int(m), work.data(), to_int(n), out.s.data(),
                          out.vt.data(), to_int(n), out.u.data(), to_int(k), superb.data());
  }
  OCC_CHECK(info == 0);
  return out;
}

bool solve(MatrixView<const double> a, MatrixView<double> b) {
  OCC_CHECK(a.rows() == a.cols() && b.rows() == a.rows());
  if (b.size() == 0) return true;
  single_threaded();
  Matrix<double> work = copy_of(a);
  std::vector<lapack_int> pivots(a.rows());
  return LAPACKE_dgesv(LAPACK_ROW_MAJOR, to_int(a.rows()), to_int(b.cols()), work.data(), to_int(a.cols()),
                       pivots.data(), b.data(), leading(b)) == 0;
}

void orthonormalize_rows(MatrixView<double> a) {
  const size_t m = a.rows(), n = a.cols();
  OCC_CHECK(m <= n);
  if (m == 0) return;
  single_threaded();
  std::vector<double> tau(m), sign(m);
  // a^T = q r, column-major: q replaces a^T, so its columns are the rows here.
  OCC_CHECK(LAPACKE_dgeqrf(LAPACK_COL_MAJOR, to_int(n), to_int(m), a.data(), leading(a), tau.data()) == 0);
  for (size_t i = 0; i < m; ++i) sign[i] = a(i, i) < 0 ? -1.0 : 1.0;
  OCC_CHECK(LAPACKE_dorgqr(LAPACK_COL_MAJOR, to_int(n), to_int(m), to_int(m), a.data(), leading(a), tau.data()) == 0);
  for (size_t i = 0; i < m; ++i) {
    for (size_t c = 0; c < n; ++c) a(i, c) *= sign[i];
  }
}

}  // namespace occ
