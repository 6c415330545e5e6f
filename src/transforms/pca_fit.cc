// Fits `pca` (pca.cc): the eigenvectors of the uncentred second moments x^T x of each block of columns, or of the
// diagonal block of the Hessian. It works for any x: where x has no energy (few rows, constant columns, zeros), LAPACK
// completes the basis. The sign of a vector is chosen such that its entry of largest magnitude, the first of them in
// case of ties, is positive. Cost: rows n^2 + about 9 n^3 operations per block of n columns; memory: 8 n^2 bytes.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "linalg/linalg.h"
#include "tensor/dtype.h"
#include "transforms/axis.h"
#include "transforms/pca.h"

namespace occ {

std::unique_ptr<Transform> fit_pca(const Params& params, MatrixView<const float> x, const FitContext& context) {
  const bool of_hessian = params.choice("of") == "hessian";
  if (of_hessian && context.hessian.data() == nullptr && x.cols() != 0) {
    throw_usage("pca: of=hessian expects second moments of the inputs (calibration text, activations), found none");
  }
  OCC_CHECK(!of_hessian || (context.hessian.rows() == x.cols() && context.hessian.cols() == x.cols()));
  const PcaBlocks blocks(params, x.cols());
  std::vector<uint16_t> bases;
  for (size_t i = 0; i < blocks.count(); ++i) {
    const size_t at = blocks.offset(i), n = blocks.length(i);
    Matrix<double> moments(n, n);
    if (of_hessian) {
      copy_matrix(context.hessian.sub({at, at, n, n}), moments.view());
    } else {
      add_second_moment(x.sub({0, at, x.rows(), n}), moments.view());
    }
    double trace = 0;
    for (size_t k = 0; k < n; ++k) trace += moments(k, k);
    if (!std::isfinite(trace)) throw_input("pca: expected finite values, found some beyond the range of f32");
    std::vector<double> values(n);
    eigh(moments.view(), values);
    const size_t begin = bases.size();
    bases.resize(begin + n * n);
    for (size_t k = 0; k < n; ++k) {
      const double* vector = moments.row(n - 1 - k);  // eigenvalues are in ascending order
      const double* largest =
          std::max_element(vector, vector + n, [](double a, double b) { return std::fabs(a) < std::fabs(b); });
      const double sign = *largest < 0 ? -1 : 1;
      for (size_t j = 0; j < n; ++j) bases[begin + j * n + k] = f32_to_f16(static_cast<float>(sign * vector[j]));
    }
  }
  return make_pca(blocks, bases);
}

}  // namespace occ
