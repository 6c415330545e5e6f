// Which block type each tensor of a GGUF file gets, by the names that llama-quantize has for mixtures of types.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor_file.h"

namespace occ {

// A mixture, such as "Q4_K_M": most tensors have its base type, those that matter more a longer one.
struct GgufMixture {
  std::string_view name;
  std::string_view base;    // the type of most tensors
  std::string_view better;  // of values and second feed-forward matrices, in some layers or in all (and of outputs)
  std::string_view table;   // of the head, or the embedding where it is the head
  bool better_everywhere = false;
  uint32_t file_type = 0;  // general.file_type (enum llama_ftype)
};

// All mixtures, for help and messages.
std::vector<std::string> gguf_mixture_names();
// Usage error with all names if there is none of this name. Case does not matter.
const GgufMixture& find_gguf_mixture(std::string_view name);

// The float type of a tensor that has no blocks. As from llama-quantize, weights whose rows are no multiple of 32 are f16,
// what is_f32_in_gguf (model/convert.h) is f32, and everything else as it was.
DType gguf_float_type(const TensorInfo& t);

// The block type of each tensor of a model in the form of GGUF (names such as "blk.3.attn_v.weight"); empty: its floats
// are kept, because it is a vector, a router, another small matrix, or has rows that are no multiple of 32. Where rows are a multiple of 32
// but not of 256, a type of about the same length takes the place of a K type, as in llama.cpp.
std::vector<std::string> gguf_tensor_types(const GgufMixture& mixture, const std::vector<TensorInfo>& tensors);

}  // namespace occ
