// The parts of tokenizer.json between text and model: "normalizer", "pre_tokenizer", "post_processor", "decoder".
#pragma once

#include "io/json_fields.h"
#include "tokenizer/tokenizer_pipeline.h"

namespace occ {

void parse_normalizer(const JsonField& field, std::vector<Normalizer>& out);
// Whether one of the steps maps bytes to characters.
bool parse_pre_tokenizer(const JsonField& field, std::vector<PreTokenizer>& out);
void parse_decoder(const JsonField& field, TokenDecoder& out);
// What is put around a text; false if it says nothing of that.
bool parse_post_processor(const JsonField& field, std::vector<TokenId>& prefix, std::vector<TokenId>& suffix);

}  // namespace occ
