// Converts a model between the form of Hugging Face folders (transformers) and that of GGUF (llama.cpp). The two forms
// differ in the names of tensors, the order of the rows of rotary and of fused weights, the orientation of GPT-2's
// weights, and the place of configuration and tokenizer. All these differences follow from the descriptions of
// architectures (architectures.h) and the configurations of both forms.
#pragma once

#include <memory>

#include "tensor/tensor_file.h"

namespace occ {

// Whether `file` is a model with the tensor names of GGUF, or one with those of Hugging Face.
bool is_gguf_model(const TensorFile& file);
bool is_hf_model(const TensorFile& file);

// Whether llama.cpp computes with this tensor of a GGUF file only as f32: vectors, norms, routers, tables of positions and
// types.
bool is_f32_in_gguf(const TensorInfo& t);

// A view of `file` in the other form; tensors are rearranged when they are read. `file` must outlive the view. Throws
// an input error that names what the other form cannot express.
std::unique_ptr<TensorFile> as_hugging_face(const TensorFile& file);
std::unique_ptr<TensorFile> as_gguf(const TensorFile& file);

}  // namespace occ
