// The text of a calibration: read, checked and cut into sequences of tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "calibration/reference.h"
#include "model/config.h"
#include "occ/calibrate.h"
#include "tensor/tensor_file.h"
#include "tokenizer/tokenizer.h"

namespace occ {

struct CalibrationText {
  // For moments and importance. Of a text that repeats itself only as much as it has to say: at most two tokens for each
  // different run of eight tokens.
  Sequences calibrate;
  Sequences tune;  // for fine-tuning
  // For neither, to judge the result by. Only if there are fewer tokens than enough_tokens().
  Sequences held_out;
  std::optional<TokenId> bos;
  std::vector<uint64_t> counts;  // how often every token occurs in the whole text
};

// Input error if there is no token, if most of the text is no text (decode_text), or if a token is outside the model's
// vocabulary. Usage error if the model cannot take sequences of options.context tokens.
CalibrationText read_calibration_text(const TensorFile& file, const ModelConfig& config,
                                      const CalibrationOptions& options);

// The UTF-8 text in the bytes of a file: UTF-16 is recognised by its byte order mark. Parts that are not valid become
// U+FFFD. Input error naming `path` if more than a tenth of the characters are such parts or control characters: then it
// is another encoding, or no text.
std::string decode_text(ByteSpan bytes, const std::filesystem::path& path);

// How many calibration tokens a model needs before more of them change little (docs/explanation/calibration.md, "Few
// tokens"): 32 for every dimension of its residual stream, but no more than are taken by default.
size_t enough_tokens(const ModelConfig& config);

}  // namespace occ
