// A configuration written for the tools of one family.
#pragma once

#include <optional>
#include <string>

#include "io/gguf_metadata.h"
#include "model/config.h"

namespace occ {

// What a configuration holds besides.
struct ExportFacts {
  std::optional<uint64_t> bos, eos;  // token ids
  size_t token_types = 0;            // rows of an encoder's token type embedding
};

// config.json. Input error naming `what` for what it cannot express.
std::string hf_config_json(const ModelConfig& config, const ExportFacts& facts, const std::string& what);

// The files by which sentence-transformers finds an encoder's pooling.
std::string sentence_modules_json();
std::string pooling_json(const ModelConfig& config);

// general.* and the architecture's keys, without the tokenizer.
GgufMetadata gguf_config(const ModelConfig& config, const std::string& name, const std::string& what);

}  // namespace occ
