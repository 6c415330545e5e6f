// How linear layers are computed when a model runs.
#pragma once

#include <functional>
#include <string>

#include "occ/matrix.h"
#include "operators/operator.h"

namespace occ {

struct TransformerOptions {
  Arithmetic arithmetic = Arithmetic::kInt8;
  // Called with the inputs of every linear layer [tokens, in] and the name of its tensor in the file.
  std::function<void(const std::string& tensor, MatrixView<const float> inputs)> observer;
};

}  // namespace occ
