// Checks and locks before an output is written.
#pragma once

#include <filesystem>

namespace occ {

// Throws a usage error if writing `output` would replace `input`, one of its files, or a folder that `input` lies in.
// Links are followed.
void require_not_input(const std::filesystem::path& output, const std::filesystem::path& input);

// A lock that a run holds while it writes `output`, so that two runs never write the same output. It is a lock (flock)
// on a file beside the output with ".lock" appended to its name. The destructor removes this file. If a killed run left
// the file, the next run uses it again; a file that is not empty belongs to another program.
class OutputLock {
 public:
  // Throws a failure if another run holds the lock, if the file is not empty, or if it cannot be created. On a file
  // system without locks, nothing is locked.
  explicit OutputLock(const std::filesystem::path& output);
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace occ
