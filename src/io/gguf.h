// Reader of GGUF files (the model format of ggml), versions 1 to 3. A model that is split into files
// NAME-00001-of-0000N.gguf is read as a whole from any of them; the metadata are those of the first.
//
// GGUF stores the innermost dimension first; shapes are given here with the outermost dimension first. Data that is
// quantized in blocks is given as f32 (TensorInfo::dtype is kF32, stored_type is the name of the block type, for
// example "Q4_K"), and the values are equal bit for bit to those of the gguf Python package. All other data keeps its
// type. If one tensor has a type that cannot be read, the whole file is refused with an input error that names the
// tensor and the type.
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

  std::string path() const override { return path_; }
  std::string format() const override { return "gguf"; }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  // The range may begin and end inside a block. Data that must be converted is read in pieces of at most 256 KiB.
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  // One file, gguf.json, which holds all metadata (gguf_json.h).
  std::vector<SideFile> side_files() const override;
  std::vector<std::string> notes() const override { return notes_; }
  uint64_t file_bytes() const override;

  uint32_t version() const { return header_.version; }
  const GgufMetadata& metadata() const { return header_.metadata; }

 private:
  const GgufTensor& checked(size_t i, uint64_t first, uint64_t count) const;
  void open_parts(const std::filesystem::path& path);
  void take_tensors(size_t part, std::vector<GgufTensor> tensors);
  // Blocks of tensor t, with the bytes of its numbers in the order of this machine.
  void read_blocks(size_t i, uint64_t block, uint64_t blocks, uint8_t* out) const;

  std::string path_;
  std::vector<InputFile> files_;
  GgufHeader header_;  // of the first part, with the tensors of all
  std::vector<size_t> part_of_;
  std::vector<TensorInfo> infos_;
  std::vector<std::string> notes_;
};

std::unique_ptr<TensorFile> open_gguf(const std::filesystem::path& path);

}  // namespace occ
