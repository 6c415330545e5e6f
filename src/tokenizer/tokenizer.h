// Converts text to token ids and back, as the model's own files say: tokenizer.json and older files (Hugging Face), or
// GGUF metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/tensor_file.h"

namespace occ {

using TokenId = int32_t;

struct EncodeOptions {
  bool add_special = true;    // add the tokens around a text: BOS, EOS, [CLS] ... [SEP]
  bool parse_special = true;  // strings of special tokens become these tokens; false: they are plain text
  bool lowercase = false;     // put what lies between special tokens in lower case first
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Token ids of a text. Bytes that are not valid UTF-8 are replaced by U+FFFD first.
  virtual std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  // The bytes that a token stands for inside a text, including a leading space. Special tokens give "" unless
  // `special`. Ids outside the vocabulary always give "", because the embedding of a model may have more rows than
  // there are tokens. Streamed output prints one piece after the other; the bytes of one character may belong to
  // several pieces.
  virtual std::string piece(TokenId id, bool special = false) const = 0;
  // All pieces, joined. A space that the tokenizer puts before the first word (SentencePiece, WordPiece) is removed.
  virtual std::string decode(std::span<const TokenId> ids, bool special = false) const = 0;

  virtual size_t vocab_size() const = 0;                                  // all ids are below it
  virtual std::optional<TokenId> find(std::string_view token) const = 0;  // `token` as the vocabulary writes it
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::vector<TokenId> end_of_generation() const = 0;  // EOS first, then tokens that end a turn
  virtual bool adds_bos() const = 0;                           // whether encode() begins a text with BOS
  virtual size_t suffix_size() const { return 0; }             // tokens that encode() puts behind a text
  // The model's own chat template (Jinja, run by chat/chat.h), empty if there is none.
  virtual const std::string& chat_template() const = 0;
  // The one for conversations with tools; most models have one for all.
  virtual const std::string& tool_template() const { return chat_template(); }
  // Texts of special tokens by the names that templates have for them, for example ("bos_token", "<s>").
  virtual std::vector<std::pair<std::string, std::string>> named_tokens() const { return {}; }
};

// A tokenizer from the side files of a model: the first that is there of tokenizer.json, gguf.json, tokenizer.model
// (SentencePiece), vocab.json with merges.txt and vocab.txt, with tokenizer_config.json. Throws an input error that
// begins with `what` (the model's path) if there is none or it cannot be used.
std::unique_ptr<Tokenizer> make_tokenizer(const std::vector<SideFile>& files, const std::string& what);

// The tokenizer of a model of any format; errors as above.
std::unique_ptr<Tokenizer> make_tokenizer(const TensorFile& model);

// The tokenizer in `path`: a model of any format, a tokenizer.json, or a GGUF file with a vocabulary only.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path);

}  // namespace occ
