// Opens any input format.
#pragma once

#include <filesystem>
#include <memory>

#include "tensor/tensor_file.h"

namespace occ {

// A folder is a Hugging Face model; files go by magic "GGUF", then extension, then magic. Pickles are refused with a
// word on how to convert. Archives (.occ) are not opened here: io/ lies below container/.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);

}  // namespace occ
