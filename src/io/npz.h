// Reader of npz files: zip archives of npy files, as numpy.savez and numpy.savez_compressed write them. Each npy file
// is one tensor, whose name is the name of the entry without ".npy". Source: the documentation of numpy.lib.format and
// numpy.lib.npyio. Entries may be stored or deflated. An archive with any other entry is refused, because that entry
// would be lost. The array that was read last is kept in memory as a whole.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "io/npy.h"

struct zip;

namespace occ {

class NpzFile final : public TensorFile {
 public:
  explicit NpzFile(const std::filesystem::path& path);
  ~NpzFile() override;

  std::string path() const override { return path_; }
  std::string format() const override { return "npz"; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override;
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override;
  uint64_t file_bytes() const override { return file_bytes_; }

 private:
  struct Entry {
    uint64_t index = 0;  // the number of the entry in the archive
    uint64_t bytes = 0;  // the size after decompression
    NpyStart start;
  };

  void add_entry(uint64_t index);
  std::string where(const std::string& entry) const { return path_ + ": '" + entry + "'"; }
  // The first `count` of the `all` bytes of an entry, decompressed. If all bytes are read, their checksum is compared.
  Bytes inflate(uint64_t index, uint64_t count, uint64_t all, const std::string& what) const;
  // The data of tensor i in C order (row-major), in its own element type.
  std::shared_ptr<const Bytes> array(size_t i) const;

  std::string path_;
  uint64_t file_bytes_ = 0;
  std::unique_ptr<zip, void (*)(zip*)> archive_;
  std::vector<TensorInfo> tensors_;
  std::vector<Entry> entries_;  // for each tensor
  mutable std::mutex mutex_;    // guards archive_, last_index_ and last_
  mutable size_t last_index_ = 0;
  mutable std::shared_ptr<const Bytes> last_;
};

}  // namespace occ
