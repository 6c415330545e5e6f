// A configuration written for the tools of one family.
#pragma once

#include <optional>
#include <string>

#include "io/gguf_metadata.h"
#include "model/config.h"

namespace occ {

struct SpecialIds {
  std::optional<uint64_t> bos, eos;
};

// config.json. Input error naming `what` for what it cannot express.
std::string hf_config_json(const ModelConfig& config, const SpecialIds& ids, const std::string& what);

// general.* and the architecture's keys, without the tokenizer.
GgufMetadata gguf_config(const ModelConfig& config, const std::string& name, const std::string& what);

}  // namespace occ
