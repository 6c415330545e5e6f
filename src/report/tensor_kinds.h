// What a tensor of a language model is for, by its name (Hugging Face and GGUF), for tables.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace occ {

// "embedding", "head", "attention q", "up", "norm", ...; "other" where the name says nothing.
std::string tensor_kind(const std::string& name);

// Embeddings of tokens and positions and the head that gives the logits.
bool is_embedding_or_head(const std::string& name);

// What comes up to and including the first number between dots ("model.layers.10"); nothing if there is none.
std::optional<std::string> tensor_layer(const std::string& name);

// Tensors, by index, that a table tells in one line.
struct TensorGroup {
  std::string label;
  std::vector<size_t> members;
};
// Kinds from the input to the output of a model.
std::vector<TensorGroup> group_by_kind(std::span<const std::string> names);
// Layers in the order of their numbers, labelled by them ("10"), or by all of tensor_layer where layers of several
// stacks have the same number; then the tensors outside of layers, "no layer". Empty if no tensor is in a layer.
std::vector<TensorGroup> group_by_layer(std::span<const std::string> names);

}  // namespace occ
