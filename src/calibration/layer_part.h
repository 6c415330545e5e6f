// The linear layers of a model in the order of the forward pass, grouped by common inputs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/tensor_file.h"

namespace occ {

// A part is a set of projections of a layer that run together: queries, keys and values; the attention output; gate and
// up; down. The head of a causal model comes after the last layer.
enum class LayerPart { kQueryKeyValue, kAttentionOutput, kGateUp, kDown, kHead };

struct ModelPart {
  size_t layer = 0;  // number of the layer; for the head, the number of layers
  LayerPart part = LayerPart::kQueryKeyValue;
  // Names of the weights. Those with the same inputs form a group. There is one group, or one for every expert.
  std::vector<std::vector<std::string>> groups;

  std::vector<std::string> tensors() const;
  // Whether queries, keys and values are three tensors, not a single one.
  bool has_separate_projections() const { return part == LayerPart::kQueryKeyValue && groups[0].size() == 3; }
  // Whether the part belongs to experts, each of which gets its own tokens.
  bool of_experts(const ModelConfig& config) const {
    return config.experts != 0 && (part == LayerPart::kGateUp || part == LayerPart::kDown);
  }
};

// Returns all parts in the order in which they run. Input errors are those of WeightLoader.
std::vector<ModelPart> model_parts(const TensorFile& file, const ModelConfig& config);

}  // namespace occ
