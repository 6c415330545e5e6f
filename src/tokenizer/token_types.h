// Types of tokens, as SentencePiece (sentencepiece_model.proto, ModelProto.SentencePiece.Type) and GGUF
// (tokenizer.ggml.token_type) number them.
#pragma once

#include <cstdint>

namespace occ {

constexpr int32_t kNormalToken = 1, kUnknownToken = 2, kControlToken = 3, kUserDefinedToken = 4, kUnusedToken = 5,
                  kByteToken = 6;

}  // namespace occ
