// What a run with a calibration is going to do, and roughly how long that takes.
#pragma once

#include "calibration/calibration_text.h"
#include "model/config.h"
#include "occ/calibrate.h"
#include "tensor/tensor_file.h"

namespace occ {

// Names of the phases as CompressOptions::progress gets them, beside "compress", "write" and "verify".
inline constexpr char kPhaseUncalibrated[] = "uncalibrated", kPhaseWriting[] = "own text", kPhaseJudging[] = "judge",
                      kPhaseImportance[] = "importance", kPhaseMoments[] = "calibrate", kPhaseTuning[] = "tune";

// How many tokens the model should write to be calibrated with: where the text is short or unlike what it expects, so
// many as would do and at least a quarter of the text. Beside the mixed text of the program only what is missing.
size_t own_tokens(const ModelConfig& config, const CalibrationText& text, const CompressOptions& options,
                  const CalibrationOptions& calibration, bool unlike);

// The options with what they leave open: with an effort of 1 fewer tokens, shorter sequences and no fine-tuning.
CalibrationOptions completed(CalibrationOptions calibration, const ModelConfig& config, int effort);

// From how many tokens on a text is not short for a model. A quick run is content with what it takes by default.
size_t tokens_wanted(const ModelConfig& config, int effort);

// How many tokens norms, biases and scales of rows are tuned on.
size_t tune_tokens(const CalibrationOptions& calibration);

CalibrationPlan plan_run(const ModelConfig& config, const TensorFile& source, const CalibrationText& text,
                         const CompressOptions& options, const CalibrationOptions& calibration);

}  // namespace occ
