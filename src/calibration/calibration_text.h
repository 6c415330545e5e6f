// Reads the calibration text, encodes and checks it, and cuts it into sequences of tokens.
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
  // Sequences for second moments and importance. From a text that repeats itself, at most two tokens are taken for each
  // different run of eight tokens.
  Sequences calibrate;
  Sequences tune;      // sequences for fine-tuning
  Sequences held_out;  // sequences used for neither, to measure the result on; may be empty if the text is short
  std::optional<TokenId> bos;
  bool adds_bos = false;         // whether the tokenizer puts the token `bos` before every text
  size_t vocab_size = 0;         // vocabulary size of the tokenizer
  std::vector<uint64_t> counts;  // [vocabulary size of the model] how often each token occurs in the whole text
  size_t untemplated = 0;        // number of conversations that could not be put through a chat template
};

// Reads the texts named in the options, or the built-in mixed text if there are none. `tune_tokens` tokens are set
// aside for fine-tuning, but none of the mixed text. Input error if there is no token, if most of a file is not text
// (decode_text), or if a token is outside the model's vocabulary. Usage error if the model cannot take sequences of
// options.context tokens.
CalibrationText read_calibration_text(const TensorFile& file, const ModelConfig& config,
                                      const CalibrationOptions& options, size_t tune_tokens);

// Returns the length of a calibration sequence in tokens. Usage error as above.
size_t calibration_context(const ModelConfig& config, const CalibrationOptions& options);

// How many calibration tokens a model needs before more of them change little: 32 for every dimension of its residual
// stream, but no more than are taken by default (docs/explanation/calibration.md, "Few tokens").
size_t enough_tokens(const ModelConfig& config);

}  // namespace occ
