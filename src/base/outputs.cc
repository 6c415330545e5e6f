#include "base/outputs.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/temporary.h"

namespace occ {

namespace fs = std::filesystem;

void require_not_input(const fs::path& output, const fs::path& input) {
  const auto is_same = [](const fs::path& a, const fs::path& b) {
    std::error_code ec;
    return fs::equivalent(a, b, ec);
  };
  std::error_code ec;
  bool replaced = is_same(output, input);
  // The files of a model lie in its folder and in the folders directly below.
  for (fs::recursive_directory_iterator it(input, fs::directory_options::skip_permission_denied, ec), end;
       !ec && it != end && !replaced; it.increment(ec)) {
    replaced = is_same(output, it->path());
    if (it.depth() != 0) it.disable_recursion_pending();
  }
  // If the output replaces a folder, everything in that folder is removed.
  if (fs::is_directory(output, ec)) {
    for (fs::path p = fs::canonical(input, ec); !ec && p.has_relative_path() && !replaced; p = p.parent_path()) {
      replaced = is_same(output, p);
    }
  }
  if (replaced) {
    throw_usage("{}: expected an output that does not replace the input {}", output.string(), input.string());
  }
}

OutputLock::OutputLock(const fs::path& output)
    : path_((output.has_filename() ? output : output.parent_path()).string() + ".lock") {
  constexpr int kMostTries = 10'000;
  for (int k = 0; k < kMostTries; ++k) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd_ < 0) throw_failed("{}: cannot be created: {}", path_.string(), std::strerror(errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(fd_);
      throw_failed("{}: another run is writing it", output.string());
    }
    // Another run that held the lock may have removed the file after it was opened here. Then a new file is locked.
    if (is_same_file(fd_, path_)) {
      std::error_code ec;
      const auto size = fs::file_size(path_, ec);
      if (!ec && size == 0) return;
      ::close(fd_);
      throw_failed("{}: expected no file of that name, or an empty one that a killed run left, found {} bytes",
                   path_.string(), size);
    }
    ::close(fd_);
  }
  throw_failed("{}: cannot be locked: another program removes or replaces it all the time", path_.string());
}
OutputLock::~OutputLock() {
  ::unlink(path_.c_str());  // before close() releases the lock
  ::close(fd_);
}

}  // namespace occ
