// Reads the parts of tokenizer.json other than the subword model: "normalizer", "pre_tokenizer", "post_processor" and
// "decoder". Every function throws an input error that names the field and, for an unknown type, lists the known ones.
#pragma once

#include "io/json_fields.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {

void parse_normalizer(const JsonField& field, std::vector<Normalizer>& out);
// Returns whether one of the steps maps bytes to characters (byte_level).
bool parse_pre_tokenizer(const JsonField& field, std::vector<PreTokenizer>& out);
void parse_decoder(const JsonField& field, TokenDecoder& out);
// Reads the tokens before and after a text. Returns false if the post-processor says nothing about them.
bool parse_post_processor(const JsonField& field, std::vector<TokenId>& prefix, std::vector<TokenId>& suffix);

}  // namespace occ
