// Compressing language models and encoders for what their weights are used for. Needs the library occ::calibration.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "occ/compress.h"

namespace occ {

// What a model is calibrated on.
struct CalibrationOptions {
  std::filesystem::path text;  // UTF-8, like what the model will see; a line is a text of its own for encoders
  size_t tokens = 0;           // at most this many, spread over the text; 0: 128 sequences
  size_t context = 0;          // tokens of a sequence; 0: 512, or what the model takes
  // Norms, biases and scales of rows are tuned when all is coded, on so many tokens of what is left of the text, and
  // kept if that helps on sequences that were held out. 0: they are not tuned.
  size_t tune_tokens = 16384;
  // Called before the work begins if the text has few tokens for the model, with a line that tells how many would do.
  std::function<void(const std::string&)> warn = {};
};

// Compresses the model `input` (HF folder, GGUF, archive) to the archive `output`, as compress_file does, with second
// moments of the inputs of every linear layer, taken from what is compressed already. Usage error if the options
// contradict each other, input error if the text is empty or no text, or the input is not a model that can be run.
//
// If the text has few tokens for the model, or the model finds it unlikely, the model writes more text itself, and the
// model is also compressed without calibration. The file is then the one with the lesser loss; the report's notes say so.
CompressReport compress_model(const std::filesystem::path& input, const std::filesystem::path& output,
                              const CompressOptions& options, const CalibrationOptions& calibration);

}  // namespace occ
