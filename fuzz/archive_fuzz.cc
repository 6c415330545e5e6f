// Takes any bytes as an archive file. Opening and verifying it must throw occ::Error or succeed. The bytes are also
// parsed as an index alone, because in an archive the check value stops most changed indexes early.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>
#include <string>

#include "container/archive_file.h"
#include "container/index.h"
#include "occ/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const occ::ArchiveIndex index = occ::parse_index({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (occ::parse_index(occ::print_index(index), "fuzz") != index) std::abort();
  } catch (const occ::Error&) {
  }
  try {
    const occ::ArchiveIndex index = occ::unpack_index({data, size}, "fuzz");
    if (occ::unpack_index(occ::pack_index(index), "fuzz") != index) std::abort();
  } catch (const occ::Error&) {
  }
  static const int fd = memfd_create("fuzz", 0);
  if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  try {
    occ::ArchiveFile("/proc/self/fd/" + std::to_string(fd)).verify();
  } catch (const occ::Error&) {
  } catch (const std::bad_alloc&) {  // an index may ask for more memory than there is, which the command line reports
  }
  return 0;
}
