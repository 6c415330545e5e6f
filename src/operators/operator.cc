#include "operators/operator.h"

#include "operators/dense.h"

namespace occ {

std::unique_ptr<Operator> make_operator(const TensorFile& file, size_t index, const OperatorOptions& options) {
  return make_dense(file, index, options.transposed);
}

}  // namespace occ
