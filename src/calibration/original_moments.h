// Second moments of the inputs of every linear layer of the original model, for analyses that do not compress.
#pragma once

#include <memory>

#include "compress/calibration_source.h"
#include "occ/calibrate.h"
#include "tensor/tensor_file.h"

namespace occ {

// Runs the model on a text as compress_model does before it codes the first tensor, with the same weights of tokens and
// at most 16 sequences. `source` must outlive the result. Input error if the file is not a model that can be run or if
// the text has no tokens. `progress` may be empty.
std::unique_ptr<CalibrationSource> calibrate_original(const TensorFile& source, const CalibrationOptions& options,
                                                      const ProgressFn& progress);

}  // namespace occ
