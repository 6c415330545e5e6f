// Temporary files and folders. An output is first written to a file or folder beside its final path, whose name is that
// path followed by ".tmp" and a number. It is locked (flock) as long as the run that writes it lives, and it is renamed
// to the final path when it is complete.
#pragma once

#include <filesystem>

namespace occ {

// Removes the temporaries of `path` that a killed run or a power loss left. A temporary that cannot be locked is kept,
// because another run writes it or its file system has no locks.
void remove_stale_temporaries(const std::filesystem::path& path);

// Creates and locks a temporary of `path`, a file or a folder, and puts its name into `temporary`. Returns an open
// descriptor, which holds the lock. Throws a failure if it cannot be created.
int create_temporary(const std::filesystem::path& path, bool folder, std::filesystem::path* temporary);

// Whether `path` still is the name of the file or folder that is open as `fd`; a link of that name is not followed.
bool is_same_file(int fd, const std::filesystem::path& path);

// Calls fsync for a folder, so that the names of the files in it are on the disk.
void sync_folder(const std::filesystem::path& folder);
// The folder that `path` lies in, "." for a plain name.
std::filesystem::path folder_of(const std::filesystem::path& path);

// Writes a folder as OutputFile writes a file. commit() may replace an old folder: at any moment `path` is the complete
// old folder or the complete new one. Only on file systems that cannot exchange two names, there may be no folder for a
// moment.
class OutputFolder {
 public:
  // With `sync`, commit() calls fsync for the new folder and for the folder that it lies in. The caller must have
  // synced the files in the new folder before.
  explicit OutputFolder(const std::filesystem::path& path, bool sync = true);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // The temporary folder. The caller writes the files into it.
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
