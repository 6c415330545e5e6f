// Reader of GGUF files (ggml's model format), versions 2 and 3, little-endian.
//
// Shapes are reversed to outermost first. Data that is quantized in blocks is given as f32 (TensorInfo::dtype kF32,
// stored_type "Q4_K", ...), equal bit for bit to what the gguf Python package gives; everything else keeps its type.
// A file with a tensor of a type that cannot be read is refused as a whole, with the tensor and the type named.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "io/gguf_header.h"
#include "tensor/tensor_file.h"

namespace occ {

class GgufFile final : public TensorFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  std::string path() const override { return file_.path(); }
  std::string format() const override { return "gguf"; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  // Positioned reads of at most 256 KiB at a time; any range, also inside a block.
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  // gguf.json: all metadata (gguf_json.h).
  std::vector<SideFile> side_files() const override;
  uint64_t file_bytes() const override { return file_.size(); }

  uint32_t version() const { return header_.version; }
  const GgufMetadata& metadata() const { return header_.metadata; }

 private:
  const GgufTensor& checked(size_t i, uint64_t first, uint64_t count) const;

  InputFile file_;
  GgufHeader header_;
  std::vector<TensorInfo> infos_;
};

std::unique_ptr<TensorFile> open_gguf(const std::filesystem::path& path);

}  // namespace occ
