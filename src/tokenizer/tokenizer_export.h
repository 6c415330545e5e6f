// A tokenizer written for the tools of the other family. What was written is read again and must cut a probe text into
// the same ids, so that nothing is written that only looks alike.
#pragma once

#include <string>
#include <vector>

#include "io/gguf_metadata.h"
#include "tensor/tensor_file.h"

namespace occ {

// tokenizer.json and tokenizer_config.json from the tokenizer.* keys of GGUF metadata; none if it has no vocabulary.
// Input error naming `what` for a kind that cannot be expressed.
std::vector<SideFile> hf_tokenizer_files(const GgufMetadata& metadata, const std::string& what);

// Adds the tokenizer.* keys from tokenizer.json and tokenizer_config.json among `files`; nothing if there is no
// tokenizer.json. vocab_size: rows of the embedding; ids without a token are filled.
void add_gguf_tokenizer(const std::vector<SideFile>& files, const std::string& what, size_t vocab_size,
                        GgufMetadata* metadata);

}  // namespace occ
