// The tokenizer that is made from every kind of file. It finds the added tokens in a text, normalizes the text between
// them, cuts it into words, and turns each word into ids with a subword model.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
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

// How the text of a token in the vocabulary becomes bytes of output.
struct TokenDecoder {
  bool byte_level = false;                                   // every character stands for a byte (byte_level)
  bool byte_fallback = false;                                // a token such as <0x0A> is a byte
  std::vector<std::pair<std::string, std::string>> replace;  // (from, to), applied to the text of every token
  bool drop_first_space = false;                             // removes one space at the start of a text
  std::string continuation;                                  // WordPiece: "##"; tokens without it get a space in front
  bool clean_up = false;                                     // WordPiece: removes spaces before . ? ! , and similar
};

struct TokenizerParts {
  std::string where;                                                        // the file, for errors
  std::unique_ptr<Vocabulary> vocabulary = std::make_unique<Vocabulary>();  // `model` refers to it
  std::unique_ptr<SubwordModel> model;
  std::vector<AddedToken> added;       // looked for in the original text
  std::vector<AddedToken> normalized;  // looked for in the normalized text; their `content` is normalized too
  std::vector<std::pair<TokenId, std::string>> added_text;  // ids and texts of added tokens, as in the file
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  TokenDecoder decoder;
  std::vector<TokenId> prefix, suffix;  // tokens before and after a text
  std::optional<TokenId> bos;
  std::vector<TokenId> end_of_generation;                         // EOS first
  std::string chat_template, tool_template;                       // the second is empty if there is one for all
  std::vector<std::pair<std::string, std::string>> named_tokens;  // ("bos_token", "<s>"), ... for chat templates
};

// Makes the tokenizer. Throws an input error if the decoder makes the texts of tokens too long (limits.h).
std::unique_ptr<Tokenizer> make_pipeline(TokenizerParts parts);

// Applies all normalizers to a text. Throws an input error if it becomes too long.
std::string normalize(const TokenizerParts& parts, std::string text, const GrowthLimit& limit);

// Appends to `ids`, which begins with EOS, every special token whose text is known to end a turn in some model, for
// example <|im_end|>.
void add_end_of_turn_tokens(const std::vector<std::pair<TokenId, std::string>>& special, std::vector<TokenId>& ids);

// Tokenizers from the side files of a Hugging Face folder and from GGUF metadata. Both throw an input error that names
// the file if the tokenizer cannot be used. what: the model's path; json_name: that of tokenizer.json; both for errors.
std::unique_ptr<Tokenizer> tokenizer_from_json(const std::vector<SideFile>& files, const std::string& what,
                                               const std::string& json_name);

// The same, of a document that stands for tokenizer.json.
std::unique_ptr<Tokenizer> tokenizer_from_json_document(const nlohmann::json& root, const std::vector<SideFile>& files,
                                                        const std::string& what, const std::string& json_name);

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const GgufMetadata& metadata, const std::string& what);

// The parts of the latter. sentencepiece: the metadata was made of a tokenizer.model, whose rules for white space count
// for BPE too, where llama.cpp has none.
TokenizerParts gguf_tokenizer_parts(const GgufMetadata& metadata, const std::string& what, bool sentencepiece);

// A tokenizer of a folder without tokenizer.json, from one of older_tokenizer_files(): tokenizer.model of SentencePiece
// (also spiece.model and sentencepiece.bpe.model), vocab.json with merges.txt (byte-level BPE) or vocab.txt (WordPiece).
// tokenizer_config.json says what the class of the tokenizer adds. Errors as above.
std::unique_ptr<Tokenizer> tokenizer_from_older_files(const std::vector<SideFile>& files, const std::string& what);
std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const SideFile& model, const std::vector<SideFile>& files,
                                                        const std::string& what);

// Reads what the other files of a Hugging Face folder say: BOS, EOS and tokens that end a turn, chat templates, names of
// special tokens, and, unless the post-processor has said so (post_processor_says), what is put around a text. tokens:
// number of ids.
void read_tokenizer_config(const std::vector<SideFile>& files, const std::string& what, size_t tokens,
                           bool post_processor_says, TokenizerParts* parts);

}  // namespace occ
