// Text that a causal model writes itself. It is used for calibration, and to compare files, where there is no better
// text.
#pragma once

#include <cstdint>
#include <functional>

#include "calibration/calibration_text.h"
#include "calibration/reference.h"
#include "model/config.h"
#include "tensor/tensor_file.h"

namespace occ {

inline constexpr size_t kOwnLength = 256;  // number of tokens in a sequence that the model writes

// Returns at least `tokens` tokens in sequences of kOwnLength tokens, or shorter ones if the model takes no more. Every
// other sequence begins with the start token, if there is one. The others begin with tokens that are spread evenly over
// the vocabulary, so that its rare parts occur as well. The result depends only on the model and the seed.
// progress(done, total) counts sequences.
Sequences write_own_text(const TensorFile& source, const ModelConfig& config, const CalibrationText& text,
                         size_t tokens, uint64_t seed, const std::function<void(size_t, size_t)>& progress = {});

}  // namespace occ
