// The formats of quantized weights, one in each file quantized_<name>.cc, and what they read of quantization_config.
#pragma once

#include <string>
#include <vector>

#include "io/quantized.h"

namespace occ {

using FindQuantized = void(const StoredTensors& tensors, const nlohmann::json& config,
                           std::vector<QuantizedWeight>* out);

FindQuantized find_fp8, find_gptq, find_auto_round, find_awq, find_compressed_tensors, find_bitsandbytes, find_mxfp4,
    find_modelopt;

// Members of a JSON object. A member of another type counts as missing.
std::string json_text(const nlohmann::json& object, const char* key, const std::string& otherwise);
bool json_flag(const nlohmann::json& object, const char* key);
size_t json_size(const nlohmann::json& object, const char* key, size_t otherwise);

}  // namespace occ
