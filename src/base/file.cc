#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/temporary.h"

namespace occ {
namespace {

std::string errno_text() { return std::strerror(errno); }

// Opens a file for reading and returns {descriptor, size in bytes}. A missing file is an error in the user's input,
// hence kInput.
std::pair<int, uint64_t> open_for_reading(const std::string& path) {
  // Without O_NONBLOCK, opening a FIFO would wait until another process opens it for writing.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw_input("{}: cannot be opened: {}", path, errno_text());
  struct stat st = {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    ::close(fd);
    throw_input("{}: expected a regular file", path);
  }
  return {fd, static_cast<uint64_t>(st.st_size)};
}

void write_all(int fd, const std::string& path, uint64_t offset, const void* data, size_t count) {
  const auto* p = static_cast<const uint8_t*>(data);
  while (count > 0) {
    const ssize_t n = ::pwrite(fd, p, std::min<size_t>(count, size_t{1} << 30), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_failed("{}: cannot be written at byte {}: {}", path, offset, errno_text());
    p += n;
    offset += static_cast<uint64_t>(n);
    count -= static_cast<size_t>(n);
  }
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path.string()) {
  std::tie(fd_, size_) = open_for_reading(path_);
  try {
    refuse_pointer();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}
InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

// git-lfs puts a text of less than 1 KiB in the place of every file that it has not fetched.
void InputFile::refuse_pointer() const {
  constexpr std::string_view kPointer = "version https://git-lfs.github.com/spec/";
  constexpr uint64_t kMostBytes = 1024;
  if (size_ < kPointer.size() || size_ > kMostBytes) return;
  std::string start(kPointer.size(), '\0');
  read(0, start.data(), start.size());
  if (start == kPointer) {
    throw_input("{}: expected the file itself, found its git-lfs pointer: 'git lfs pull' fetches the file", path_);
  }
}
InputFile::InputFile(InputFile&& o) noexcept
    : path_(std::move(o.path_)), fd_(std::exchange(o.fd_, -1)), size_(o.size_) {}

void InputFile::read(uint64_t offset, void* out, size_t count) const {
  if (offset > size_ || count > size_ - offset) {
    throw_input("{}: truncated, expected {} bytes at byte {}, found {}", path_, count, offset,
                offset > size_ ? 0 : size_ - offset);
  }
  auto* p = static_cast<uint8_t*>(out);
  while (count > 0) {
    const ssize_t n = ::pread(fd_, p, std::min<size_t>(count, size_t{1} << 30), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_failed("{}: cannot be read at byte {}: {}", path_, offset, n == 0 ? "file shrank" : errno_text());
    p += n;
    offset += static_cast<uint64_t>(n);
    count -= static_cast<size_t>(n);
  }
}

Bytes InputFile::read(uint64_t offset, size_t count) const {
  if (offset > size_ || count > size_ - offset) read(offset, nullptr, count);  // throws before allocating
  Bytes out(count);
  read(offset, out.data(), count);
  return out;
}

OutputFile::OutputFile(const std::filesystem::path& path, bool sync) : path_(path), sync_(sync) {
  fd_ = create_temporary(path_, false, &temporary_);
}
OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::unlink(temporary_.c_str());  // before close() releases the lock
  ::close(fd_);
}
void OutputFile::write(const void* data, size_t count) {
  write_all(fd_, temporary_.string(), position_, data, count);
  position_ += count;
}
void OutputFile::write_at(uint64_t offset, const void* data, size_t count) {
  write_all(fd_, temporary_.string(), offset, data, count);
}
void OutputFile::pad_to(uint64_t alignment, uint8_t fill) {
  const Bytes padding((alignment - position_ % alignment) % alignment, fill);
  write(padding);
}
void OutputFile::commit() {
  if (sync_ && ::fsync(fd_) != 0) throw_failed("{}: cannot be synced: {}", temporary_.string(), errno_text());
  // close() may report that a write failed, so it must come before rename(). But the lock is needed until the file has
  // its name, and it is released with the last descriptor. So a second descriptor keeps it.
  const int lock = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (lock < 0 || ::close(std::exchange(fd_, lock)) != 0) {
    throw_failed("{}: cannot be closed: {}", temporary_.string(), errno_text());
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw_failed("{}: cannot be renamed from {}: {}", path_.string(), temporary_.string(), errno_text());
  }
  ::close(std::exchange(fd_, -1));
  if (sync_) sync_folder(folder_of(path_));
}

void require_writable_target(const std::filesystem::path& path, bool force, bool folder) {
  std::error_code ec;
  if (!force && std::filesystem::exists(std::filesystem::symlink_status(path, ec))) {
    throw_failed("{}: exists already, use --force to replace it", path.string());
  }
  const std::filesystem::file_status status = std::filesystem::status(path, ec);
  const bool fits = folder ? std::filesystem::is_directory(status) : std::filesystem::is_regular_file(status);
  if (std::filesystem::exists(status) && !fits) {
    throw_failed("{}: expected {} to replace", path.string(), folder ? "a folder" : "a regular file");
  }
  if (!std::filesystem::is_directory(folder_of(path), ec)) {
    throw_failed("{}: its folder does not exist", path.string());
  }
}

void require_free_space(const std::filesystem::path& path, uint64_t bytes) {
  struct statvfs fs = {};
  if (::statvfs(folder_of(path).c_str(), &fs) != 0) return;  // unknown: the write itself fails if there is no space
  const uint64_t free_bytes = static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  if (free_bytes < bytes) {
    throw_failed("{}: not enough disk space, expected {} bytes free, found {}", path.string(), bytes, free_bytes);
  }
}

namespace {

// The text before the number of a part, as in model-00001-of-00003.gguf; "" if the name is no such.
std::string name_of_parts(const std::string& name) {
  const size_t of = name.rfind("-of-");
  const size_t number = of == std::string::npos ? of : name.find_last_not_of("0123456789", of - 1);
  return number == std::string::npos || number + 1 == of || name[number] != '-' ? "" : name.substr(0, number + 1);
}

}  // namespace

std::string describe_files(const std::filesystem::path& path) {
  std::error_code ec;
  std::vector<std::filesystem::path> files = {path};
  const std::string parts = name_of_parts(path.filename().string());
  if (!parts.empty() && std::filesystem::is_regular_file(path, ec)) {
    files.clear();
    for (const auto& entry : std::filesystem::directory_iterator(folder_of(path), ec)) {
      if (entry.path().filename().string().starts_with(parts)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  }
  if (std::filesystem::is_directory(path, ec)) {
    files.clear();
    for (auto it = std::filesystem::recursive_directory_iterator(path, ec); it != end(it); it.increment(ec)) {
      if (it->path().extension() == ".part") {
        it.disable_recursion_pending();
      } else {
        files.push_back(it->path());
      }
    }
    std::sort(files.begin(), files.end());
  }
  std::string out;
  const std::filesystem::path folder = std::filesystem::is_directory(path, ec) ? path : path.parent_path();
  for (const std::filesystem::path& file : files) {
    struct stat st = {};
    if (::stat(file.c_str(), &st) != 0) continue;
    out += fmt::format("file {} {} {} {}.{} {}.{}\n", file.lexically_relative(folder).string(), st.st_ino, st.st_size,
                       st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
  }
  return out;
}

Bytes read_file(const std::filesystem::path& path, uint64_t limit) {
  const InputFile file(path);
  if (file.size() > limit) {
    throw_input("{}: expected at most {} bytes, found {}", path.string(), limit, file.size());
  }
  return file.read(0, file.size());
}

void write_file(const std::filesystem::path& path, std::string_view text, bool sync) {
  remove_stale_temporaries(path);
  OutputFile file(path, sync);
  file.write(text.data(), text.size());
  file.commit();
}

}  // namespace occ
