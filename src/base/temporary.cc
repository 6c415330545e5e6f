#include "base/temporary.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"

namespace occ {
namespace {

// The path without a slash at its end: "out" for "out/".
std::filesystem::path without_slash(const std::filesystem::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

constexpr const char* kTemporary = ".tmp";
constexpr uint64_t kMostTries = 10'000;  // of names, each of which another program may take or remove

}  // namespace

bool is_same_file(int fd, const std::filesystem::path& path) {
  struct stat open = {}, named = {};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 && open.st_dev == named.st_dev &&
         open.st_ino == named.st_ino;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = without_slash(path).parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // a folder may be writable and not readable
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (error != 0 && error != EINVAL) throw_failed("{}: cannot be synced: {}", folder.string(), std::strerror(error));
}

int create_temporary(const std::filesystem::path& path, bool folder, std::filesystem::path* temporary) {
  // Containers and other machines may write the same folder with the same process id. So the process id is only the
  // first number that is tried, and the first free number is taken.
  const auto number = static_cast<uint64_t>(::getpid());
  for (uint64_t k = 0; k < kMostTries; ++k) {
    *temporary = path.string() + kTemporary + std::to_string(number + k);
    const char* name = temporary->c_str();
    int fd = -1;
    if (!folder) {
      fd = ::open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } else if (::mkdir(name, 0777) == 0) {
      fd = ::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) throw_failed("{}: cannot be created: {}", name, std::strerror(errno));
    // Before it is locked, another run may take it for the temporary of a killed run and remove it. On a file system
    // without locks no run removes temporaries of others.
    const bool taken = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!taken && is_same_file(fd, *temporary)) return fd;
    ::close(fd);
  }
  const std::filesystem::path name = std::exchange(*temporary, {});
  throw_failed("{}: cannot be created: {} names up to this one belong to other programs", name.string(), kMostTries);
}

void remove_stale_temporaries(const std::filesystem::path& path) {
  const std::string start = without_slash(path).filename().string() + kTemporary;
  std::error_code ec;
  for (std::filesystem::directory_iterator it(folder_of(path), ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(start) || name.size() == start.size()) continue;
    if (name.find_first_not_of("0123456789", start.size()) != std::string::npos) continue;
    std::error_code gone;
    const std::filesystem::file_status status = it->symlink_status(gone);
    const bool folder = std::filesystem::is_directory(status);
    if (!folder && !std::filesystem::is_regular_file(status)) continue;
    // NFS can lock a file only if it is open for writing.
    const int fd = ::open(it->path().c_str(), (folder ? O_RDONLY | O_DIRECTORY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue;
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0 && is_same_file(fd, it->path())) {
      std::filesystem::remove_all(it->path(), gone);
    }
    ::close(fd);
  }
}

OutputFolder::OutputFolder(const std::filesystem::path& path, bool sync) : path_(without_slash(path)), sync_(sync) {
  fd_ = create_temporary(path_, true, &temporary_);
}
OutputFolder::~OutputFolder() {
  remove_temporary();
  ::close(fd_);
}
void OutputFolder::remove_temporary() noexcept {
  try {
    std::error_code ec;
    if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ec);
  } catch (const std::exception&) {  // out of memory: the next run removes it
  }
  temporary_.clear();
}
void OutputFolder::commit() {
  if (sync_) sync_folder(temporary_);
  std::error_code ec;
  if (!std::filesystem::exists(path_, ec)) {
    std::filesystem::rename(temporary_, path_, ec);
    if (!ec) temporary_.clear();
  } else if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) {
      ec.assign(errno, std::generic_category());
    } else {
      const std::filesystem::path old = temporary_.string() + ".old";
      std::filesystem::rename(path_, old, ec);
      if (!ec) std::filesystem::rename(temporary_, path_, ec);
      std::error_code back;
      if (ec && !std::filesystem::exists(path_, back)) std::filesystem::rename(old, path_, back);
      if (!ec) temporary_ = old;
    }
  }
  if (ec) throw_failed("{}: cannot be renamed from {}: {}", path_.string(), temporary_.string(), ec.message());
  if (sync_) sync_folder(folder_of(path_));
  remove_temporary();  // after an exchange this name belongs to the old folder
}

}  // namespace occ
