// A low-rank adapter (LoRA, Hu et al. 2021, arXiv 2106.09685) of the package PEFT, merged into the weights of a model:
// W' = W + scale B A in f32, with A [r, in] and B [out, r]. scale is lora_alpha / r, or lora_alpha / sqrt(r) with
// use_rslora. Weights that are stored [in, out] (fan_in_fan_out) get the transpose.
#pragma once

#include <filesystem>
#include <memory>

#include "tensor/tensor_file.h"

namespace occ {

// A view of `base` with the adapter of a folder (adapter_config.json, adapter_model.safetensors) merged. Merged weights
// are f32. Input error for an adapter of another kind (DoRA, other methods), for one without a weight in `base` that
// it fits, and for one that trained biases or whole modules.
std::unique_ptr<TensorFile> with_adapter(std::unique_ptr<TensorFile> base, const std::filesystem::path& folder);

}  // namespace occ
