// The input of the fuzz targets that need a whole model: a Hugging Face folder, a GGUF file, or an archive with right
// checksums.
//
// It is text. Its first line has one letter for the form (h: folder, g: GGUF, a: archive of a folder, b: archive of a
// GGUF). Then come three parts, each with a line "---" at its end: config.json (gguf.json for a GGUF), tokenizer.json,
// and the tensors with one line "dtype dimension,dimension,... bytes name recipe" for each. A tensor without a recipe
// gets artificial values. A tensor with a recipe takes its next `bytes` bytes from the data after the last part.
//
// With libFuzzer half of the mutations change a number, a value of JSON or a line of the text, because few changes of
// single bytes leave it well formed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>

namespace occ {

// Writes the model of a fuzz input into a folder that is removed at the end of the process, in the place of the one
// before, and calls body(its path, the folder) on one thread. Whatever the input is, occ::Error and std::bad_alloc are
// right answers. Nothing is called if the input is no model, or if its tensors are too large to be tried quickly.
using ModelBody = std::function<void(const std::filesystem::path& input, const std::filesystem::path& folder)>;
void with_fuzz_model(const uint8_t* data, size_t size, const ModelBody& body);

// Runs a check of what was made of the input. It must not throw occ::Error: then the process aborts.
void must_succeed(const std::function<void()>& check);

}  // namespace occ
