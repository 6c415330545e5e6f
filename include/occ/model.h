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

struct ModelOptions {
  bool f32 = false;       // weights as decoded floats in RAM instead of codes with activations in int8
  size_t context = 4096;  // tokens of a prompt and its continuation, at most what the model takes
};

struct ContinueOptions {
  size_t max_tokens = 256;
  float temperature = 0;  // 0: always the likeliest token
  size_t top_k = 0;       // 0: all
  float top_p = 1;
  uint64_t seed = 0;
  std::vector<std::string> stop;  // texts that end the output; they are not part of it
};

class Model {
 public:
  // Input error that names what is missing or not supported.
  static Model open(const std::filesystem::path& path, const ModelOptions& options = {});
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  size_t vocab_size() const;
  uint64_t weight_bytes() const;  // of the weights in memory
  // Token ids; special: with what the model expects around a text (BOS), special strings become their tokens.
  std::vector<int32_t> tokenize(std::string_view text, bool special = true) const;
  std::string detokenize(std::span<const int32_t> tokens) const;
  // What the model expects after each token, [tokens.size(), vocab_size()], from an empty context.
  Matrix<float> logits(std::span<const int32_t> tokens) const;
  // Continues `prompt`; on_text gets the text piece by piece.
  std::string continue_text(std::string_view prompt, const ContinueOptions& options = {},
                            const std::function<void(std::string_view)>& on_text = {}) const;

 private:
  struct Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace occ
