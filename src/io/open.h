// Opens a file or folder of tensors in any of the input formats.
#pragma once

#include <filesystem>
#include <memory>

#include "tensor/tensor_file.h"

namespace occ {

// A folder is read as a Hugging Face model. For a file, the format is the first of these that applies: GGUF by its
// magic bytes or extension, another format by its extension, npy or safetensors by the first bytes of the file. Input
// error for anything else; for a pickle (.bin, .pt, ...) the message tells how to convert it. Archives (.occ) are
// opened by open_any in container/archive_file.h, because io/ must not depend on container/.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);

}  // namespace occ
