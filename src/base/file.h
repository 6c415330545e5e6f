// Files: positioned reads, memory maps, and output that appears under its name only when complete and synced.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"

namespace occ {

// Read-only, thread-safe positioned reads. Errors name the file.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& o) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Reads exactly `count` bytes at `offset`; a short file is an input error.
  void read(uint64_t offset, void* out, size_t count) const;
  Bytes read(uint64_t offset, size_t count) const;

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// The whole file as read-only memory.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ByteSpan bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// Writes to a temporary beside `path` (base/temporary.h); commit() syncs and renames. Without commit it is removed.
class OutputFile {
 public:
  // `sync`: fsync file and folder on commit.
  explicit OutputFile(const std::filesystem::path& path, bool sync = true);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, size_t count);
  void write(ByteSpan bytes) { write(bytes.data(), bytes.size()); }
  // Thread-safe write at a position, e.g. to fill parts in any order; does not move the append position.
  void write_at(uint64_t offset, const void* data, size_t count);
  void pad_to(uint64_t alignment, uint8_t fill = 0);
  uint64_t position() const { return position_; }
  const std::filesystem::path& temporary_path() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  uint64_t position_ = 0;
  bool sync_;
};

// Failure unless `path` is free, or a file (with `folder` a folder) and `force` is set.
void require_writable_target(const std::filesystem::path& path, bool force, bool folder = false);
// Failure that tells both numbers when the file system of `path` has less than `bytes` free.
void require_free_space(const std::filesystem::path& path, uint64_t bytes);
// Whole small file; more than `limit` bytes is an input error.
Bytes read_file(const std::filesystem::path& path, uint64_t limit = uint64_t{1} << 30);

// A line for each file, or for all files of a folder: name, inode, size and times, as far as they can be told. Another
// text: perhaps other bytes.
std::string describe_files(const std::filesystem::path& path);

}  // namespace occ
