// Writes a configuration in the form of Hugging Face (config.json) or of GGUF (metadata).
#pragma once

#include <optional>
#include <string>

#include "io/gguf_metadata.h"
#include "model/config.h"

namespace occ {

// What a config.json holds in addition to ModelConfig.
struct ExportFacts {
  std::optional<uint64_t> bos, eos;  // token ids
  size_t token_types = 0;            // rows of an encoder's token type embedding
};

// The text of config.json. Throws an input error that begins with `what` (the model's path) if config.json cannot
// express the configuration.
std::string hf_config_json(const ModelConfig& config, const ExportFacts& facts, const std::string& what);

// The texts of modules.json and 1_Pooling/config.json, from which sentence-transformers reads how an encoder pools.
std::string sentence_modules_json();
std::string pooling_json(const ModelConfig& config);

// The keys general.* and those of the architecture, without the tokenizer. `name` becomes general.name. Throws an input
// error that begins with `what` if GGUF cannot express the configuration.
GgufMetadata gguf_config(const ModelConfig& config, const std::string& name, const std::string& what);

}  // namespace occ
