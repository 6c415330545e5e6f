#include "transforms/transform.h"

#include "base/error.h"

namespace occ {

void Transform::transform_hessian(MatrixView<double>) const {
  throw_usage(
      "transform: cannot carry second moments of the inputs through it, expected a linear transform of the rows");
}

}  // namespace occ
