// Text that a causal model writes itself, to calibrate with or to judge by where there is no better one.
#pragma once

#include <cstdint>
#include <functional>

#include "calibration/calibration_text.h"
#include "calibration/reference.h"
#include "model/config.h"
#include "tensor/tensor_file.h"

namespace occ {

inline constexpr size_t kOwnLength = 256;  // tokens of a sequence that the model writes

// Returns at least `tokens` tokens in sequences of kOwnLength, or of what the model takes. Every other sequence begins
// with the start token, if there is one; the others with tokens that are evenly spread over the vocabulary, so that its
// rare parts occur as well. The same for the same seed. progress(done, total) counts sequences.
Sequences write_own_text(const TensorFile& source, const ModelConfig& config, const CalibrationText& text,
                         size_t tokens, uint64_t seed, const std::function<void(size_t, size_t)>& progress = {});

}  // namespace occ
