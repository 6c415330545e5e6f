// Forward and backward over whole sequences of a model, layer by layer: inputs and output gradients of every linear
// layer, gradients of embedding rows and of vectors (norms, biases). What second moments, sensitivities and tuning are
// made of.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/tokenizer.h"
#include "occ/matrix.h"
#include "tensor/tensor_file.h"

namespace occ {

// Calls come one at a time; the same tensor several times, a panel of tokens each.
class GradientObserver {
 public:
  virtual ~GradientObserver() = default;
  // y = x W^T: inputs x [tokens, in], gradients dL/dy [tokens, out] (y before its bias). `tensor`: the weight's name in
  // the file. The head too: its gradients are dL/dlogits of the scored positions.
  virtual void linear(const std::string& tensor, MatrixView<const float> inputs, MatrixView<const float> gradients) = 0;
  // dL/d(row of the embedding that was looked up) [tokens, dim]; also for learned positions, by position.
  virtual void embedding(const std::string& tensor, std::span<const uint32_t> rows,
                         MatrixView<const float> gradients) = 0;
  // dL/dv of a norm weight, norm bias or bias, summed over all tokens.
  virtual void vector(const std::string& tensor, std::span<const float> gradient) = 0;
};

// Loss of scored rows: logits [n, vocab] of tokens [first, first + n) of all sequences one after the other -> their
// gradient, in place; returns the sum of the losses.
using LossFn = std::function<double(size_t first, MatrixView<float> logits)>;

}  // namespace occ
