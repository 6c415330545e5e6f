// Chooses scales and offsets of `ggml` for the values x of a sub-block, with a weight for each squared error.
#pragma once

#include <span>

#include "io/gguf_blocks.h"
#include "quantization/ggml_types.h"

namespace occ {

struct GgmlScale {
  double scale = 0, offset = 0;  // value = level * scale - offset; the scale of a type without offsets can be negative
};
// The best of about twenty scales around the one at which the largest value gets the outermost level; each is refined
// by least squares for the codes that it gives. Offsets of the K types are at least 0.
GgmlScale fit_ggml_scale(const GgmlType& type, std::span<const float> x, std::span<const double> weights);

// The code of `value` in units of the scale, offset included: the one with the nearest level.
uint16_t ggml_code(const GgmlType& type, float value);
inline float ggml_level(const GgmlType& type, uint16_t code) {
  return type.table ? kIq4Levels[code] : static_cast<float>(static_cast<int>(code) - type.zero);
}

}  // namespace occ
