// Writer of GGUF files, version 3, little-endian, float and signed integer tensors (no block types).
//
// Metadata comes from the side file gguf.json (gguf_json.h) when there is one, with general.file_type set to the type
// most values have and general.quantization_version dropped; otherwise it is general.architecture "unknown" and
// general.name, the file's name. Layout in gguf_header.h.
#pragma once

#include <filesystem>
#include <memory>

#include "io/sink.h"

namespace occ {

std::unique_ptr<TensorSink> make_gguf_sink(const std::filesystem::path& path, const SinkOptions& options = {});

}  // namespace occ
