// Vectors of texts: what `occ embed`, `occ evaluate`, the Python package and servers call.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "model/transformer.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

// Called with the number of texts that are done and the number of all texts.
using TextProgress = std::function<void(uint64_t done, uint64_t total)>;

struct EmbedOptions {
  std::string prompt = {};  // put before every text; find_prompt in sentence_modules.h reads those that a model names
  bool normalize = false;   // scale every vector to length 1, also where no module of the model does so
  TextProgress progress = {};
  size_t texts_before = 0;   // of a list of which these are a part; for the numbers in messages
  size_t* tokens = nullptr;  // here the number of tokens that the model takes is added, if not null
};

// Vectors [texts.size(), width], one row for each text in its order. They are those of sentence-transformers: strings of
// special tokens in a text are these tokens, and a text of too many tokens loses its end, but keeps the tokens that the
// tokenizer puts behind it. Texts go through the model sorted by length, several at once; a vector does not depend on
// the others. Thread-safe. Input error that gives the number of the text, counted from 1, if it has no tokens, or if its
// vector is not finite.
Matrix<float> embed_texts(const Encoder& encoder, const Tokenizer& tokenizer, std::span<const std::string> texts,
                          const EmbedOptions& options = {});
// The same of texts that are token ids already, which are cut like texts; the prompt of the options is not used.
Matrix<float> embed_tokens(const Encoder& encoder, const Tokenizer& tokenizer, std::vector<std::vector<TokenId>> texts,
                           const EmbedOptions& options = {});

// A model that makes vectors of texts, its tokenizer and the file that both come from.
struct EncoderModel {
  std::unique_ptr<TensorFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Encoder> encoder;

  Matrix<float> embed(std::span<const std::string> texts, const EmbedOptions& options = {}) const {
    return embed_texts(*encoder, *tokenizer, texts, options);
  }
};

// Opens a Hugging Face folder, a GGUF file or an archive of an encoder or of a causal model (load_encoder). Input error
// that names what is missing.
EncoderModel open_encoder(const std::string& path, const TransformerOptions& options = {});

}  // namespace occ
