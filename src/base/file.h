// Files: positioned reads, and outputs that appear under their names only when they are complete.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"

namespace occ {

// A file that is read at any position. Thread-safe. Errors name the file. A path that cannot be opened or is not a
// regular file is an input error, and so is the pointer that git-lfs leaves in the place of a file.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& o) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Reads exactly `count` bytes from byte `offset` on. Input error if the file is too short.
  void read(uint64_t offset, void* out, size_t count) const;
  Bytes read(uint64_t offset, size_t count) const;

 private:
  void refuse_pointer() const;

  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// Writes to a temporary file beside `path` (base/temporary.h). commit() renames it to `path`. Without commit() the
// destructor removes it.
class OutputFile {
 public:
  // With `sync`, commit() calls fsync for the file and its folder.
  explicit OutputFile(const std::filesystem::path& path, bool sync = true);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, size_t count);
  void write(ByteSpan bytes) { write(bytes.data(), bytes.size()); }
  // Writes at a position, for example to write parts in any order. Does not change the position of write().
  // Thread-safe.
  void write_at(uint64_t offset, const void* data, size_t count);
  // Writes bytes `fill` until the position is a multiple of `alignment`.
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

// Throws a failure unless nothing exists at `path`, or `force` is set and there is a regular file (with `folder`, a
// folder) to replace. Failure, too, if the folder that `path` lies in does not exist.
void require_writable_target(const std::filesystem::path& path, bool force, bool folder = false);
// Throws a failure that tells both numbers if the file system of `path` has less than `bytes` bytes free.
void require_free_space(const std::filesystem::path& path, uint64_t bytes);
// Reads a whole file. Input error if it has more than `limit` bytes.
Bytes read_file(const std::filesystem::path& path, uint64_t limit = uint64_t{1} << 30);

// Writes a text through an OutputFile, after temporaries of dead runs are removed.
void write_file(const std::filesystem::path& path, std::string_view text, bool sync = true);

// A text by which a change of a file is noticed: a line with name, inode, size, modification and status change time.
// For a folder there is a line for each entry in it and in the folders within, but for what unfinished runs leave (*.part); for a
// part NAME-00001-of-00002 one for every part beside it. If the text differs from an earlier one, the bytes may differ. Files
// whose status cannot be read are left out.
std::string describe_files(const std::filesystem::path& path);

}  // namespace occ
