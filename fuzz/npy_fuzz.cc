// NpyFile must open and read any file or throw occ::Error.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "io/for_test.h"
#include "io/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("fuzz", 0);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  try {
    occ::read_all_for_test(occ::NpyFile("/proc/self/fd/" + std::to_string(fd)));
  } catch (const occ::Error&) {
  }
  return 0;
}
