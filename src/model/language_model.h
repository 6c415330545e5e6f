// A causal language model together with its file and tokenizer.
#pragma once

#include <memory>
#include <string>

#include "model/transformer.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

// `transformer` reads from `file`, so both must be kept together.
struct LanguageModel {
  std::unique_ptr<TensorFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Transformer> transformer;
};

// Opens a Hugging Face folder, a GGUF file or an archive made from either. Throws an input error that names what is
// missing.
LanguageModel open_language_model(const std::string& path, const TransformerOptions& options = {});

}  // namespace occ
