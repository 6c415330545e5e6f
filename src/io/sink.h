// The interface for the outputs of `occ decompress`: safetensors files, Hugging Face folders, npy, fvecs and GGUF.
// The caller calls begin() with all tensors, then write() with all data in the same order, then commit(). Nothing
// appears under the name of the output before commit(). Without commit() the destructor removes the temporary file or
// folder. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/tensor_file.h"

namespace occ {

struct GgufType;

struct OutTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // the outermost dimension first
  // Only in GGUF: the data are blocks of this type, and dtype says nothing. Rows consist of whole blocks.
  const GgufType* blocks = nullptr;
};

class TensorSink {
 public:
  virtual ~TensorSink() = default;
  // Must be called first and once. Usage error if the format cannot hold these tensors because of their number, dtype,
  // shape or name.
  virtual void begin(std::vector<OutTensor> tensors) = 0;
  // Writes the next `bytes` bytes. The data is that of the tensors of begin() one after the other, row-major,
  // little-endian, each in its dtype, with nothing between them. It may be cut into calls at any byte.
  virtual void write(const void* data, size_t bytes) = 0;
  // Must be called last and once, after exactly the bytes of all tensors were written. Syncs the temporary (if
  // SinkOptions::sync is set) and gives it the name of the output.
  virtual void commit() = 0;
};

struct SinkOptions {
  // The files that belong to the model (config.json, ...). Formats that have no place for them ignore them.
  std::vector<SideFile> side_files;
  uint64_t shard_bytes = 5'000'000'000;  // most bytes of tensor data in one file of a Hugging Face folder
  // general.file_type of a GGUF file with blocks (enum llama_ftype of llama.cpp); nothing: by the float types.
  std::optional<uint32_t> gguf_file_type{};
  bool sync = true;  // whether commit() calls fsync
};

// Whether the output is a folder: the path has no extension, or it ends in '/', or it is a folder that exists and its
// extension is not that of a format that is written.
bool is_folder_output(const std::filesystem::path& path);

// The name of the output gives the format: .safetensors, .npy, .fvecs, .gguf, or a Hugging Face folder where
// is_folder_output() holds. Usage error for any other name. A file that exists is replaced; the caller must check
// before that this is wanted (require_writable_target). A folder that exists is replaced only if it holds nothing but
// files that the writer of such folders writes. Temporary files that killed runs left beside the output are removed.
std::unique_ptr<TensorSink> make_tensor_sink(const std::filesystem::path& path, SinkOptions options = {});

}  // namespace occ
