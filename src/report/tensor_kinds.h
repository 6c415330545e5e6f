// Tells from the name of a tensor of a language model, in the naming of Hugging Face or GGUF, what the tensor is for.
// Tables use this to group tensors.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace occ {

// Returns "embedding", "head", "attention q", "up", "norm", ..., or "other" if the name does not tell the kind.
std::string tensor_kind(const std::string& name);

// Whether the tensor is an embedding of tokens or positions, or the head that gives the logits.
bool is_embedding_or_head(const std::string& name);

// Returns the beginning of the name up to and including the first part between dots that is a number, such as
// "model.layers.10". Returns nothing if there is no such part.
std::optional<std::string> tensor_layer(const std::string& name);

// Tensors that share one line of a table. `members` are their indices.
struct TensorGroup {
  std::string label;
  std::vector<size_t> members;
};
// Groups tensors by tensor_kind. The kinds are in a fixed order that begins with the embedding.
std::vector<TensorGroup> group_by_kind(std::span<const std::string> names);
// Groups tensors by layer, in the order of the layer numbers. The label is the number ("10"), or all of tensor_layer if
// the model has several stacks of layers. The last group, "no layer", has the tensors outside of layers. Returns
// nothing if no tensor is in a layer.
std::vector<TensorGroup> group_by_layer(std::span<const std::string> names);

}  // namespace occ
