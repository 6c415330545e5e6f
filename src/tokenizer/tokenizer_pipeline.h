// The tokenizer that every file becomes: added tokens are found, the text between them is normalized and cut into
// words, and a model makes ids of the words.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/limits.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/subword.h"
#include "tokenizer/tokenizer.h"

namespace occ {

class GgufMetadata;

// How tokens become bytes.
struct TokenDecoder {
  bool byte_level = false;                                   // characters stand for bytes
  bool byte_fallback = false;                                // <0x0A> is a byte
  std::vector<std::pair<std::string, std::string>> replace;  // in the text of every token
  bool drop_first_space = false;                             // one space at the start of a text is not meant
  std::string continuation;                                  // WordPiece: "##"; other tokens begin with a space
  bool clean_up = false;                                     // WordPiece: no space before . ? ! , and the like
};

struct TokenizerParts {
  std::string where;                                                        // the file, for errors
  std::unique_ptr<Vocabulary> vocabulary = std::make_unique<Vocabulary>();  // of the model; it refers to this
  std::unique_ptr<SubwordModel> model;
  std::vector<AddedToken> added;       // looked for in the text as it is
  std::vector<AddedToken> normalized;  // looked for in the normalized text; `content` is normalized already
  std::vector<std::pair<TokenId, std::string>> added_text;  // the texts of all of them as the file writes them
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  TokenDecoder decoder;
  std::vector<TokenId> prefix, suffix;  // what is put around a text
  std::optional<TokenId> bos;
  std::vector<TokenId> end_of_generation;  // EOS first
  std::string chat_template;
};

// Input error where the decoder makes texts of tokens too long (limits.h).
std::unique_ptr<Tokenizer> make_pipeline(TokenizerParts parts);

// What the normalizers make of a text; input error if that is too long.
std::string normalize(const TokenizerParts& parts, std::string text, const GrowthLimit& limit);

// Adds to `ids`, which begins with EOS, every special token that ends a turn in the models that are known.
void add_end_of_turn_tokens(const std::vector<std::pair<TokenId, std::string>>& special, std::vector<TokenId>& ids);

// `json_name`: of tokenizer.json, for errors.
std::unique_ptr<Tokenizer> tokenizer_from_json(const std::vector<SideFile>& files, const std::string& what,
                                               const std::string& json_name);

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const GgufMetadata& metadata, const std::string& what);

}  // namespace occ
