// Options for running a model: how its linear layers are computed, and who observes their inputs.
#pragma once

#include <functional>
#include <string>

#include "occ/matrix.h"
#include "operators/operator.h"

namespace occ {

struct TransformerOptions {
  Arithmetic arithmetic = Arithmetic::kInt8;
  // If set, called before every linear layer with the name of its weight in the file and its inputs [tokens, in].
  std::function<void(const std::string& tensor, MatrixView<const float> inputs)> observer;
};

}  // namespace occ
