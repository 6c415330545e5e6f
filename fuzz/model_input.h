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
#include <optional>

namespace occ {

// A folder for temporary files that is removed at the end of the process.
class FuzzFolder {
 public:
  FuzzFolder();
  ~FuzzFolder();
  FuzzFolder(const FuzzFolder&) = delete;
  FuzzFolder& operator=(const FuzzFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Writes the model of a fuzz input into `folder`, in the place of the one before, and returns the path of its file or
// folder. Returns nothing if the input is no model, or if its tensors are too large to be tried quickly. Throws
// occ::Error if no file can hold such a model.
std::optional<std::filesystem::path> write_fuzz_model(const uint8_t* data, size_t size,
                                                      const std::filesystem::path& folder);

}  // namespace occ
