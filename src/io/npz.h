// npz files: zip archives of npy files (numpy.savez, numpy.savez_compressed), one tensor for each, named without ".npy".
// Source: numpy.lib.format and numpy.lib.npyio. Entries are stored or deflated; whatever else is in the archive is
// refused, as it would be lost. The array that was read last is kept in memory as a whole.
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
    uint64_t index = 0;  // in the archive
    uint64_t bytes = 0;  // inflated
    NpyStart start;
  };

  void add_entry(uint64_t index);
  std::string where(const std::string& entry) const { return path_ + ": '" + entry + "'"; }
  // The first `count` bytes of an entry; with all of them its checksum is compared.
  Bytes inflate(uint64_t index, uint64_t count, uint64_t all, const std::string& what) const;
  // The values of tensor i in C order.
  std::shared_ptr<const Bytes> array(size_t i) const;

  std::string path_;
  uint64_t file_bytes_ = 0;
  std::unique_ptr<zip, void (*)(zip*)> archive_;
  std::vector<TensorInfo> tensors_;
  std::vector<Entry> entries_;  // of the tensors
  mutable std::mutex mutex_;    // of the archive and of what was read last
  mutable size_t last_index_ = 0;
  mutable std::shared_ptr<const Bytes> last_;
};

}  // namespace occ
