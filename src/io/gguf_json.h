// Converts GGUF metadata to JSON and back without loss. Archives keep this JSON as the side file gguf.json:
//
//   {"metadata": [
//     {"key": "general.architecture", "type": "string", "value": "llama"},
//     {"key": "tokenizer.ggml.scores", "type": "array", "items": "f32", "value": [0.0, -1.5]}, ...]}
//
// The keys have the order of the GGUF file. The types are the names of gguf_value_type_name. An integer is a JSON
// number. An f32 is written as the f64 of the same value, so that it is read back exactly. NaN and infinities are
// written as their bits, {"bits": "7fc00000"}, in 8 or 16 hexadecimal digits. A string that is not valid UTF-8 is
// written as its bytes, {"hex": "c328"}. An item of an array of arrays is {"items": ..., "value": [...]}.
#pragma once

#include <string>
#include <string_view>

#include "io/gguf_metadata.h"

namespace occ {

inline constexpr char kGgufSideFile[] = "gguf.json";

std::string gguf_metadata_json(const GgufMetadata& metadata);
// Throws an input error that names `what` (the source of the text) and the key unless `text` is such a document.
GgufMetadata parse_gguf_metadata_json(std::string_view text, const std::string& what);

}  // namespace occ
