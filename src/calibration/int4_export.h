// Writes a model as a Hugging Face folder with weights of four bits in the form of the package compressed-tensors
// (pack-quantized), which vLLM and transformers run. Codes are chosen with second moments and error feedback.
#pragma once

#include <filesystem>

#include "occ/calibrate.h"

namespace occ {

// `input` is any model whose layers can be Linear modules (not GPT-2, whose weights are stored transposed). The linear
// layers get codes -8 .. 7 and a scale for each group of 128 columns of a row, or of 64 or 32 where 128 does not divide
// all widths; everything else stays as it is. Rate, method and tensors of `options` are not used. Needs room for an
// archive beside the output, and for the model if it has the form of GGUF. The report is that of the archive, with the
// bytes of the folder's weights. The caller holds the lock of the output.
CompressReport write_int4_folder(const std::filesystem::path& input, const std::filesystem::path& output,
                                 const CompressOptions& options, const CalibrationOptions& calibration);

}  // namespace occ
