// safetensors files: u64 LE header length, a JSON header {name: {dtype, shape, data_offsets}, "__metadata__": {..}},
// data. Spec: https://github.com/huggingface/safetensors (Format). Data must cover the rest of the file without holes
// or overlaps. Differs: dtypes that are not in tensor/dtype.h (F8_E4M3, ...) are refused by name.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "io/sink.h"
#include "tensor/tensor_file.h"

namespace occ {

inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // as in the reference implementation

class SafetensorsFile final : public TensorFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  std::string path() const override { return file_.path(); }
  std::string format() const override { return "safetensors"; }
  // In the order of their data, empty ones at the same place by name.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  uint64_t file_bytes() const override { return file_.size(); }

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Position of tensor i's first byte in the file.
  uint64_t data_offset(size_t i) const { return offsets_[i]; }
  const InputFile& file() const { return file_; }

 private:
  InputFile file_;
  std::vector<TensorInfo> tensors_;
  std::vector<uint64_t> offsets_;
  std::map<std::string, std::string> metadata_;
};

// Bytes of the whole file that SafetensorsWriter makes of these tensors and metadata.
uint64_t safetensors_file_bytes(const std::vector<OutTensor>& tensors,
                                const std::map<std::string, std::string>& metadata);

// Streams a file whose tensors are all known up front. The header lists them in the given order and is padded with
// spaces so that data starts at a multiple of 64. Data lies in the given order too, unless that would put a tensor at a
// multiple of less than its element size: then wider types come first (readers that map the file want that). Not
// thread-safe.
class SafetensorsWriter {
 public:
  // Usage error for a shape of 2^63 bytes or more, a name that is used twice, reserved or not UTF-8.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<OutTensor> tensors,
                    const std::map<std::string, std::string>& metadata = {}, bool sync = true);

  // The next bytes in the given order of tensors; one call may span tensors.
  void write(const void* data, uint64_t bytes);
  // All bytes of tensor i, in any order of tensors and from any thread. Not to be mixed with write().
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
  size_t current_ = 0;             // tensor that the next byte belongs to
  uint64_t within_ = 0;            // bytes of it written
  std::atomic<size_t> whole_ = 0;  // tensors that write_tensor() wrote
  OutputFile file_;
};

}  // namespace occ
