// A model as it is run and coded, where its file has more or fewer tensors than the model: tied embeddings are one
// table, and tensors that no part of the model uses are kept as they are.
#pragma once

#include <filesystem>
#include <memory>

#include "tensor/tensor_file.h"

namespace occ {

// Opens any input (open_any). If it is a model of a known architecture, then
// - one of the token embedding and the head is left out if the embeddings are tied and both are stored with equal
//   values; an input error if the values differ;
// - the head is the embedding if that alone is stored and the configuration does not say that they are two;
// - tensors that the model does not use get TensorInfo::keep.
// Each is a note. Input error, as from load_transformer, for a model that lacks a tensor or has one of a wrong shape.
std::unique_ptr<TensorFile> open_model_file(const std::filesystem::path& path);

}  // namespace occ
