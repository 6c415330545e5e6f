// Reader and writer of safetensors files. A file holds the length of the header (u64, little-endian), a JSON header
// {name: {dtype, shape, data_offsets}, "__metadata__": {...}}, and the data, which must cover the rest of the file
// without holes or overlaps. Specification: https://github.com/huggingface/safetensors, section "Format". As in the
// reference implementation, a repeated name counts as it stands last, null metadata count as none, and unknown members
// of an entry are ignored. Floats of 4 and 8 bits (tensor/small_floats.h) are given as BF16, which holds all their
// values, and stored_type has their name. Other types (C64, F6_E2M3, ...) are an input error that names the type.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "io/sink.h"
#include "tensor/small_floats.h"
#include "tensor/tensor_file.h"

namespace occ {

// The most bytes of a header, as in the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

class SafetensorsFile final : public TensorFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  std::string path() const override { return file_.path(); }
  std::string format() const override { return "safetensors"; }
  // The tensors have the order of their data. Empty tensors at the same position are ordered by name.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  std::vector<std::string> notes() const override { return notes_; }
  uint64_t file_bytes() const override { return file_.size(); }
  // All bytes of tensor i as they are in the file, tensors()[i].stored_bytes of them.
  Bytes read_stored(size_t i) const { return file_.read(offsets_[i], tensors_[i].stored_bytes); }

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Position of tensor i's first byte in the file.
  uint64_t data_offset(size_t i) const { return offsets_[i]; }
  const InputFile& file() const { return file_; }

 private:
  InputFile file_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint64_t> offsets_;
  std::vector<const SmallFloat*> small_;  // the type of tensor i if it has 4 or 8 bits
  std::map<std::string, std::string> metadata_;
  std::vector<std::string> notes_;
};

// The size in bytes of the file that SafetensorsWriter writes for these tensors and metadata.
uint64_t safetensors_file_bytes(const std::vector<OutTensor>& tensors,
                                const std::map<std::string, std::string>& metadata);

// Writes a file whose tensors are all known before the first byte of data. The header lists the tensors in the given
// order and is padded with spaces so that the data starts at a multiple of 64 bytes. The data has the given order, too,
// unless a tensor would then start at an offset that is not a multiple of its element size; in this case the tensors
// with wider elements come first, because readers that map the file into memory need aligned data. Not thread-safe
// except for write_tensor().
class SafetensorsWriter {
 public:
  // Usage error if the tensors have more than 2^62 bytes, if a name is used twice or reserved ("__metadata__"), if a
  // name or the metadata is not UTF-8, or if the header is longer than kMaxSafetensorsHeader. `sync` is that of
  // OutputFile.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<OutTensor> tensors,
                    const std::map<std::string, std::string>& metadata = {}, bool sync = true);

  // Writes the next bytes of the tensors in the given order. One call may write the end of one tensor and the start of
  // the next.
  void write(const void* data, uint64_t bytes);
  // Writes all bytes of tensor i. Tensors may come in any order and from any thread. Must not be mixed with write().
  void write_tensor(size_t i, ByteSpan bytes);
  // Position of tensor i's first byte in the file.
  uint64_t data_offset(size_t i) const { return offsets_[i]; }
  uint64_t file_bytes() const { return file_bytes_; }
  const std::filesystem::path& temporary_path() const { return file_.temporary_path(); }
  void commit();

 private:
  std::vector<uint64_t> offsets_;
  std::vector<uint64_t> sizes_;
  uint64_t file_bytes_ = 0;
  size_t current_ = 0;             // the tensor that the next byte of write() belongs to
  uint64_t within_ = 0;            // the number of bytes of that tensor written so far
  std::atomic<size_t> whole_ = 0;  // the number of tensors that write_tensor() has written
  OutputFile file_;
};

}  // namespace occ
