#include "tensor/scratch_matrix.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"

namespace occ {

ScratchMatrix::ScratchMatrix(const std::filesystem::path& folder, size_t rows, size_t cols) {
  if (rows == 0 || cols == 0) {
    view_ = MatrixView<float>(nullptr, rows, cols);
    return;
  }
  const size_t bytes = rows * cols * sizeof(float);
  int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {  // the file system has no files without a name
    std::string path = (folder / "scratch.XXXXXX").string();
    fd = ::mkostemp(path.data(), O_CLOEXEC);
    if (fd < 0) throw_failed("{}: expected a folder for temporary files: {}", folder.string(), std::strerror(errno));
    ::unlink(path.c_str());
  }
  // The space is allocated now, so that a full disk is an error here and not a signal (SIGBUS) later.
  const int error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  void* data = error == 0 ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  const int reason = error != 0 ? error : errno;
  ::close(fd);
  if (data == MAP_FAILED) {
    throw_failed("{}: expected {} bytes for intermediate values: {}", folder.string(), bytes, std::strerror(reason));
  }
  view_ = MatrixView<float>(static_cast<float*>(data), rows, cols);
}

ScratchMatrix::~ScratchMatrix() {
  if (view_.data() != nullptr) ::munmap(view_.data(), view_.size() * sizeof(float));
}

void ScratchMatrix::release() const {
  // The pages of a shared file mapping stay in the page cache of the operating system, so no change is lost.
  if (view_.data() != nullptr) {
    ::madvise(const_cast<float*>(view_.data()), view_.size() * sizeof(float), MADV_DONTNEED);
  }
}

}  // namespace occ
