// Running language models: a Hugging Face folder, a GGUF or an archive made from either. Needs the library occ::model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "occ/error.h"
#include "occ/matrix.h"

namespace occ {

// How a model is run.
struct ModelOptions {
  bool f32 = false;  // weights are decoded to f32 in memory; otherwise codes are multiplied with activations in int8
  size_t context = 4096;  // tokens of a prompt and its continuation, at most what the model takes
};

// How a text is continued.
struct ContinueOptions {
  size_t max_tokens = 256;        // of the continuation
  float temperature = 0;          // logits are divided by it; 0: always the likeliest token
  size_t top_k = 0;               // only so many of the likeliest tokens are drawn from; 0: all
  float top_p = 1;                // only the likeliest tokens that together have this probability
  uint64_t seed = 0;              // of the random draws: the same seed gives the same text
  std::vector<std::string> stop;  // texts that end the output; they are not part of it
};

// A causal language model in memory.
class Model {
 public:
  // Opens a Hugging Face folder, a GGUF or an archive made from either. Input error that names what is missing or not
  // supported.
  static Model open(const std::filesystem::path& path, const ModelOptions& options = {});
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  size_t vocab_size() const;      // number of token ids, and of columns of logits()
  uint64_t weight_bytes() const;  // that the weights take in memory
  // Token ids of a text in UTF-8. special: with what the model expects around a text (BOS), and special strings such as
  // "</s>" become their tokens.
  std::vector<int32_t> tokenize(std::string_view text, bool special = true) const;
  // The text of token ids.
  std::string detokenize(std::span<const int32_t> tokens) const;
  // Logits [tokens.size(), vocab_size()] of the token after each one, in an empty context. Usage error for more tokens
  // than the model takes, input error for ids outside its vocabulary.
  Matrix<float> logits(std::span<const int32_t> tokens) const;
  // The continuation of `prompt`, which is its return value; on_text gets it piece by piece, in whole UTF-8 characters.
  // Usage error if the prompt has no tokens or more than the context.
  std::string continue_text(std::string_view prompt, const ContinueOptions& options = {},
                            const std::function<void(std::string_view)>& on_text = {}) const;

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace occ
