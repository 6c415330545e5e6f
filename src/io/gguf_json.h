// GGUF metadata as JSON and back without loss: the side file gguf.json of archives.
//
//   {"metadata": [
//     {"key": "general.architecture", "type": "string", "value": "llama"},
//     {"key": "tokenizer.ggml.scores", "type": "array", "items": "f32", "value": [0.0, -1.5]}, ...]}
//
// in the order of the file. Types are those of gguf_value_type_name. Integers are plain; an f32 is written as the f64
// of the same value, which reads back exactly; NaN and infinities are {"bits": "7fc00000"} (hexadecimal, 8 or 16
// digits). A string that is no UTF-8 is {"hex": "c328"}. An item of an array of arrays is
// {"items": ..., "value": [...]}.
#pragma once

#include <string>
#include <string_view>

#include "io/gguf_metadata.h"

namespace occ {

inline constexpr char kGgufSideFile[] = "gguf.json";

std::string gguf_metadata_json(const GgufMetadata& metadata);
// Input error naming `what` and the key unless `text` is exactly such a document.
GgufMetadata parse_gguf_metadata_json(std::string_view text, const std::string& what);

}  // namespace occ
