// A causal model with what belongs to it.
#pragma once

#include <memory>
#include <string>

#include "model/transformer.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct LanguageModel {
  std::unique_ptr<TensorFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Transformer> transformer;
};

// A Hugging Face folder, a GGUF or an archive of either. Input error that names what is missing.
LanguageModel open_language_model(const std::string& path, const TransformerOptions& options = {});

}  // namespace occ
