// Writes a model as a GGUF file with block types, so that llama.cpp runs what was compressed here: scales and codes are
// chosen with the second moments of the inputs, error feedback and fine-tuning of norms, as for archives.
#pragma once

#include <filesystem>
#include <string>

#include "occ/calibrate.h"

namespace occ {

// `input` is any model; `type` a mixture of calibration/gguf_types.h. Rate, method and tensors of `options` are not
// used. Needs room for the model in floats and for an archive beside the output, which both go again. The report is
// that of the archive, with the bytes of the GGUF file. The caller holds the lock of the output.
CompressReport write_gguf_blocks(const std::filesystem::path& input, const std::filesystem::path& output,
                                 const std::string& type, const CompressOptions& options,
                                 const CalibrationOptions& calibration);

}  // namespace occ
