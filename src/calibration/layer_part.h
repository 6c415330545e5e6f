// The linear layers of a model in the order of its forward pass, grouped by the inputs that they share.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/tensor_file.h"

namespace occ {

// What a layer computes between two places where new inputs appear: the projections to queries, keys and values; the
// projection of the attention output; gate and up; down. The head of a causal model follows the last layer.
enum class LayerPart { kQueryKeyValue, kAttentionOutput, kGateUp, kDown, kHead };

struct ModelPart {
  size_t layer = 0;  // of the head: the number of layers
  LayerPart part = LayerPart::kQueryKeyValue;
  // Names of the weights, those with the same inputs in one group. There is one group, or one for every expert.
  std::vector<std::vector<std::string>> groups;

  std::vector<std::string> tensors() const;
  // Queries, keys and values are three tensors, not one that joins them.
  bool has_separate_projections() const { return part == LayerPart::kQueryKeyValue && groups[0].size() == 3; }
  // Every expert of a mixture has its own tokens.
  bool of_experts(const ModelConfig& config) const {
    return config.experts != 0 && (part == LayerPart::kGateUp || part == LayerPart::kDown);
  }
};

// All of them in the order in which they run. Input errors as WeightLoader has them.
std::vector<ModelPart> model_parts(const TensorFile& file, const ModelConfig& config);

}  // namespace occ
