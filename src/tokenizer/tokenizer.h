// Text to token ids and back, from a model's own files: tokenizer.json (Hugging Face) or GGUF metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor_file.h"

namespace occ {

using TokenId = int32_t;

struct EncodeOptions {
  bool add_special = true;    // what the tokenizer puts around a text: BOS, EOS, [CLS] ... [SEP]
  bool parse_special = true;  // special strings in the text become their tokens; otherwise they are plain text
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Bytes that are no UTF-8 are replaced by U+FFFD.
  virtual std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  // The bytes that one token stands for within a text (a leading space included); special tokens give "" unless
  // `special`, and so do ids outside the vocabulary (models pad it). Streaming prints pieces one after the other; a
  // character may be spread over several.
  virtual std::string piece(TokenId id, bool special = false) const = 0;
  // All of them, with what the scheme does at the start of a text (SentencePiece drops one space).
  virtual std::string decode(std::span<const TokenId> ids, bool special = false) const = 0;

  virtual size_t vocab_size() const = 0;                                  // ids are below it
  virtual std::optional<TokenId> find(std::string_view token) const = 0;  // id of a token as the vocabulary writes it
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::vector<TokenId> end_of_generation() const = 0;  // EOS first, then what ends a turn
  virtual bool adds_bos() const = 0;                           // encode() starts a text with BOS
  // The model's own chat template (Jinja), empty if none; chat.h recognises its family.
  virtual const std::string& chat_template() const = 0;
};

// From the side files of a model (tokenizer.json with tokenizer_config.json, or gguf.json). Input error naming `what`
// if there is none or it cannot be used.
std::unique_ptr<Tokenizer> make_tokenizer(const std::vector<SideFile>& files, const std::string& what);

// The same of a model of any format.
std::unique_ptr<Tokenizer> make_tokenizer(const TensorFile& model);

// A model of any format, a tokenizer.json, or a GGUF that holds a vocabulary only.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path);

}  // namespace occ
