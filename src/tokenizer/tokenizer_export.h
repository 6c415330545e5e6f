// Converts a tokenizer between tokenizer.json (Hugging Face) and GGUF metadata. The result is read again and must turn
// a probe text into the same ids as the original; otherwise an input error is thrown.
#pragma once

#include <string>
#include <vector>

#include "io/gguf_metadata.h"
#include "tensor/tensor_file.h"

namespace occ {

// tokenizer.json and tokenizer_config.json, made from the tokenizer.* keys of GGUF metadata; empty if the metadata has
// no vocabulary. Throws an input error that begins with `what` (the file) for a tokenizer that cannot be expressed.
std::vector<SideFile> hf_tokenizer_files(const GgufMetadata& metadata, const std::string& what);

// Adds the tokenizer.* keys to the metadata, made from tokenizer.json and tokenizer_config.json among `files`. Does
// nothing if there is no tokenizer.json. vocab_size: number of rows of the embedding; ids without a token get a
// placeholder, and tokens above it are left out. Errors as above.
void add_gguf_tokenizer(const std::vector<SideFile>& files, const std::string& what, size_t vocab_size,
                        GgufMetadata* metadata);

}  // namespace occ
