// Compressing language models and encoders for what their weights are used for. Needs the library occ::calibration.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "occ/compress.h"

namespace occ {

// What a run with a calibration is going to do.
struct CalibrationPlan {
  std::string text;   // which text is used, in words
  size_t tokens = 0;  // of it to calibrate with
  struct Phase {
    std::string name;  // as CompressOptions::progress gets it
    double seconds =
        0;  // very roughly, on the processor that the estimates were made with, with the threads of the run
  };
  std::vector<Phase> phases;  // in their order
};

// The default of the command line for CalibrationOptions::effort: a better code takes little time compared with the
// calibration.
inline constexpr int kCalibratedEffort = 6;

// What a model is calibrated on.
struct CalibrationOptions {
  bool off = false;            // the model is compressed without
  std::filesystem::path lora;  // folder of a PEFT adapter that is merged into the weights first, in f32
  // Like what the model will see: text files (UTF-8; for encoders every line is a text of its own), files *.jsonl with
  // `text` or `messages` (`role`, `content`) in every line, and folders of files *.txt and *.jsonl. Empty: the mixed
  // text that is part of the library, and what the model itself writes.
  std::vector<std::filesystem::path> texts;
  size_t tokens = 0;   // at most this many, spread over the text; 0: 128 sequences, with an effort of 1 6,144 tokens
  size_t context = 0;  // tokens of a sequence; 0: 512 (with an effort of 1 256), or what the model takes
  // Norms, biases and scales of rows are tuned when all is coded, on so many tokens of what is left of the text, and
  // kept if that helps on sequences that were held out. 0: they are not tuned. No value: 16384, or 0 with an effort
  // of 1.
  std::optional<size_t> tune_tokens;
  std::optional<int> effort;  // in place of CompressOptions::effort where the model is calibrated
  // While the model is coded, the weights that are not coded yet are tuned to the errors of those that are, before so
  // many of its layers, evenly spread, twice on the tokens above. Causal models without experts of up to 160 million
  // weights in their layers. 0: never.
  size_t tune_weights = 0;
  // Called before the work begins if the text has few tokens for the model, with a line that tells how many would do.
  std::function<void(const std::string&)> warn = {};
  // Called when the texts are read and everything is checked, before the work begins.
  std::function<void(const CalibrationPlan&)> announce = {};
};

// Whether the options say by themselves where the errors go, or how large they may be: a recipe, an error, a
// sensitivity or second moments. Such a run is not calibrated unless it is asked for.
bool decides_errors(const CompressOptions& options);

// Compresses the model `input` (HF folder, GGUF, archive) to the archive `output`, as compress_file does, with second
// moments of the inputs of every linear layer, taken from what is compressed already. Usage error if the options
// contradict each other, input error if the text is empty or no text, or the input is not a model that can be run.
//
// Without a text, an input that cannot be calibrated is compressed as compress_file does it, and a note says why.
// Nothing is calibrated either in a dry run without a text, and where a size is asked for that is too small for what a
// calibrated file stores beside the codes.
//
// If the text has few tokens for the model, or the model finds it unlikely, the model writes more text itself, and the
// model is also compressed without calibration. The file is then the one with the lesser loss; the report's notes say so.
CompressReport compress_model(const std::filesystem::path& input, const std::filesystem::path& output,
                              const CompressOptions& options, const CalibrationOptions& calibration);

}  // namespace occ
