// The text of a calibration: encoded, checked and cut into sequences of tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

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
  Sequences tune;      // for fine-tuning
  Sequences held_out;  // for neither, to judge the result by; may be empty where the text suffices for neither
  std::optional<TokenId> bos;
  bool adds_bos = false;         // texts begin with it
  size_t vocab_size = 0;         // of the tokenizer
  std::vector<uint64_t> counts;  // how often every token occurs in the whole text
  size_t untemplated = 0;        // conversations that did not go through a chat template
};

// Reads the texts of the options, or the mixed text of the program if there are none. Of that nothing is taken for
// fine-tuning, of others `tune_tokens`. Input error if there is no token, if most of a text is no text (decode_text), or if a token is outside
// the model's vocabulary. Usage error if the model cannot take sequences of options.context tokens.
CalibrationText read_calibration_text(const TensorFile& file, const ModelConfig& config,
                                      const CalibrationOptions& options, size_t tune_tokens);

// The number of tokens of a sequence. Usage error as above.
size_t calibration_context(const ModelConfig& config, const CalibrationOptions& options);

// How many calibration tokens a model needs before more of them change little (docs/explanation/calibration.md, "Few
// tokens"): 32 for every dimension of its residual stream, but no more than are taken by default.
size_t enough_tokens(const ModelConfig& config);

}  // namespace occ
