// Before an output is written.
#pragma once

#include <filesystem>

namespace occ {

// Usage error if writing `output` would replace `input`, one of its files, or the folder that it lies in; links are
// followed.
void require_not_input(const std::filesystem::path& output, const std::filesystem::path& input);

// Held while a run writes `output`, so that two runs never write one output: a lock (flock) on the file OUT.lock beside
// it, which is removed at the end. One that a killed run left is taken over by the next; one that is not empty is
// somebody else's.
class OutputLock {
 public:
  // Failure if another run holds it, if the file is not empty, or cannot be created. Where the file system knows no
  // locks there is none.
  explicit OutputLock(const std::filesystem::path& output);
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace occ
