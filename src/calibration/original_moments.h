// Second moments of the inputs of every linear layer of a model as it is, for analyses that compress nothing.
#pragma once

#include <memory>

#include "compress/calibration_source.h"
#include "occ/calibrate.h"
#include "tensor/tensor_file.h"

namespace occ {

// Runs the model on a text, as compress_model does before it codes the first tensor: 16 sequences at most, and tokens
// weigh as they do there. `source` must outlive the result. Input error if the file is no model that can be run or the
// text has no tokens. `progress` may be empty.
std::unique_ptr<CalibrationSource> calibrate_original(const TensorFile& source, const CalibrationOptions& options,
                                                      const ProgressFn& progress);

}  // namespace occ
