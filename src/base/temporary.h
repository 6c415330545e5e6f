// Temporaries: an output is written to a file or folder beside `path`, named as `path` with ".tmp" and a number behind
// it, which is locked (flock) as long as the run that writes it lives, and renamed when it is complete.
#pragma once

#include <filesystem>

namespace occ {

// Removes temporaries of `path` whose run is gone, which a kill or a power loss leaves. One that cannot be locked stays:
// another run writes it, or its file system knows no locks.
void remove_stale_temporaries(const std::filesystem::path& path);

// A new temporary of `path`, a file or a folder, open and locked; its name is put into `temporary`.
int create_temporary(const std::filesystem::path& path, bool folder, std::filesystem::path* temporary);

// So that the names in it are on the disk.
void sync_folder(const std::filesystem::path& folder);
// Where `path` stands.
std::filesystem::path folder_of(const std::filesystem::path& path);

// What OutputFile is for a file, for a folder, which may replace another one: at any moment `path` is the whole old
// folder or the whole new one, except on file systems that cannot exchange two names, where there may be none for a
// moment.
class OutputFolder {
 public:
  // `sync`: fsync the folders on commit; what is put into it has to be synced by then.
  explicit OutputFolder(const std::filesystem::path& path, bool sync = true);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // Where its files are to be put.
  const std::filesystem::path& temporary_path() const { return temporary_; }
  void commit();

 private:
  void remove_temporary() noexcept;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  bool sync_;
};

}  // namespace occ
