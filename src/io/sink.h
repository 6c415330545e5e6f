// What `occ decompress` writes to: one interface over safetensors, HF folders, npy, fvecs and GGUF.
// Use: begin() with every tensor, write() all data in that order, commit(). Nothing appears under the target's name
// before commit(); without it the temporary is removed by the destructor. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/tensor_file.h"

namespace occ {

struct OutTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // outermost first
};

class TensorSink {
 public:
  virtual ~TensorSink() = default;
  // Once, first. Usage error if the format cannot hold these tensors (count, dtype, shape, name).
  virtual void begin(std::vector<OutTensor> tensors) = 0;
  // The next `bytes` bytes: the tensors of begin() one after the other, row-major, little-endian, each in its dtype,
  // nothing between them. Any cut is fine, one call may span tensors.
  virtual void write(const void* data, size_t bytes) = 0;
  // Once, last, after exactly the bytes of all tensors: syncs and renames.
  virtual void commit() = 0;
};

struct SinkOptions {
  std::vector<SideFile> side_files;      // config.json, ...: for formats with a place for them, ignored by others
  uint64_t shard_bytes = 5'000'000'000;  // HF folders: most bytes of tensor data in one file
  bool sync = true;                      // fsync on commit
};

// A path without extension, one that ends in '/', or a folder that exists.
bool is_folder_output(const std::filesystem::path& path);

// By the name of the output: .safetensors .npy .fvecs .gguf; what is_folder_output() says is a HF folder. Replaces a
// file that exists (the caller asked: require_writable_target); a folder that exists is replaced only if it holds
// nothing but files of such a folder. Removes what killed runs left of their temporaries beside the output.
std::unique_ptr<TensorSink> make_tensor_sink(const std::filesystem::path& path, SinkOptions options = {});

}  // namespace occ
