#include "transforms/transform.h"

#include "base/check.h"
#include "base/error.h"

namespace occ {

void Transform::adjoint(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const {
  OCC_CHECK(traits().isometric && (traits().maps_rows || traits().maps_columns));
  forward(at, x, planes);
}

void Transform::transform_hessian(MatrixView<double>) const {
  throw_usage(
      "transform: cannot carry second moments of the inputs through it, expected a linear transform of the rows");
}

}  // namespace occ
