// A tokenizer written for the tools of the other family.
#pragma once

#include <string>
#include <vector>

#include "io/gguf_metadata.h"
#include "tensor/tensor_file.h"

namespace occ {

// tokenizer.json and tokenizer_config.json from the tokenizer.* keys of GGUF metadata; empty if there are none. Input
// error naming `what` for a kind that cannot be expressed.
std::vector<SideFile> hf_tokenizer_files(const GgufMetadata& metadata, const std::string& what);

// The tokenizer.* keys from tokenizer.json and tokenizer_config.json among `files`; none if there is no tokenizer.json.
void add_gguf_tokenizer(const std::vector<SideFile>& files, const std::string& what, GgufMetadata* metadata);

}  // namespace occ
