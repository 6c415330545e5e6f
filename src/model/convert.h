// A model in the form of the other family of tools: Hugging Face folders (transformers) and GGUF (llama.cpp) differ in
// the names of tensors, the order of rows of rotary weights and of fused ones, the orientation of GPT-2's weights, and
// where configuration and tokenizer stand. What differs follows from the two configurations, so that descriptions of
// architectures (architectures.h) are all there is to know.
#pragma once

#include <memory>

#include "tensor/tensor_file.h"

namespace occ {

// Whether `file` is a model (read_config) with GGUF's names, or with those of Hugging Face.
bool is_gguf_model(const TensorFile& file);
bool is_hf_model(const TensorFile& file);

// `file` must outlive the view. Input error that names what has no place in the other form.
std::unique_ptr<TensorFile> as_hugging_face(const TensorFile& file);
std::unique_ptr<TensorFile> as_gguf(const TensorFile& file);

}  // namespace occ
