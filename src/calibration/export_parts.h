// What the exports of coded models share (gguf_export.h, int4_export.h).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/sink.h"
#include "occ/compress.h"
#include "recipe/nodes.h"
#include "tensor/tensor_file.h"

namespace occ {

// Writes all tensors of a model to a file or folder as they are.
void write_model(const TensorFile& model, const std::filesystem::path& path);
// Runs `body`, which makes files in the folder `scratch` from `input`. Input errors in it, and the notes of the report,
// name `input` in place of these files, which nobody can look at.
CompressReport naming_input(const std::filesystem::path& input, const std::filesystem::path& scratch,
                            const std::function<CompressReport()>& body);
// The options without rate, method and tensors of their own: every tensor of `source` gets the method of the same number,
// and is kept where that is empty.
CompressOptions with_methods(const CompressOptions& options, const TensorFile& source,
                             const std::vector<std::string>& methods);

}  // namespace occ
