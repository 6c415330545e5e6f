// Plans a run with calibration and estimates how long it takes.
#pragma once

#include "calibration/calibration_text.h"
#include "model/config.h"
#include "occ/calibrate.h"
#include "tensor/tensor_file.h"

namespace occ {

// Names of the phases in calls of CompressOptions::progress, besides "compress", "write" and "verify".
inline constexpr char kPhaseUncalibrated[] = "uncalibrated", kPhaseWriting[] = "own text", kPhaseJudging[] = "judge",
                      kPhaseImportance[] = "importance", kPhaseMoments[] = "calibrate", kPhaseTuning[] = "tune";

// Returns how many tokens the model should write to be calibrated on. If the text is short or unlike what the model
// expects: as many as would do, and at least a quarter of the text. For the built-in mixed text: only what is missing.
size_t own_tokens(const ModelConfig& config, const CalibrationText& text, const CompressOptions& options,
                  const CalibrationOptions& calibration, bool unlike);

// Fills in options that are not set. An effort of 1 means fewer tokens, shorter sequences and no fine-tuning.
CalibrationOptions completed(CalibrationOptions calibration, const ModelConfig& config, int effort);

// Returns the number of tokens from which on a text is not short for a model. For an effort of 1 it is smaller.
size_t tokens_wanted(const ModelConfig& config, int effort);

// Returns the number of tokens for the fine-tuning.
size_t tune_tokens(const CalibrationOptions& calibration);

CalibrationPlan plan_run(const ModelConfig& config, const TensorFile& source, const CalibrationText& text,
                         const CompressOptions& options, const CalibrationOptions& calibration);

}  // namespace occ
