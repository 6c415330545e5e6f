// Writer of GGUF files of version 3, little-endian, with tensors of floats and signed integers, or of blocks that the
// caller has made (OutTensor::blocks). The layout is described in gguf_header.h.
//
// If there is a side file gguf.json (gguf_json.h), the metadata comes from it; then general.file_type is set to the
// float type that most values have (or removed if no tensor is F32, F16 or BF16), and general.quantization_version is
// removed; with blocks both are set. Without such a file the metadata is general.architecture "unknown" and general.name, the name of the file.
#pragma once

#include <filesystem>
#include <memory>

#include "io/sink.h"

namespace occ {

// Input error if gguf.json is damaged. begin() throws a usage error for a name that is used twice, is not UTF-8 or has
// not 1 to 63 bytes, for a type that GGUF lacks, and for more than 4 dimensions or 2^48 elements.
std::unique_ptr<TensorSink> make_gguf_sink(const std::filesystem::path& path, const SinkOptions& options = {});

}  // namespace occ
