// Takes any bytes as a GGUF file. It must be refused with occ::Error or be read completely, and its metadata must stay
// the same when they are converted to JSON and back.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "io/gguf.h"
#include "io/gguf_json.h"
#include "occ/error.h"

namespace {

// Writes the data to a file in memory, which can be opened by its name.
void fill_file(int fd, const uint8_t* data, size_t size) {
  OCC_CHECK(ftruncate(fd, 0) == 0);
  OCC_CHECK(pwrite(fd, data, size, 0) == static_cast<ssize_t>(size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int kFile = memfd_create("gguf", 0);
  fill_file(kFile, data, size);
  try {
    const occ::GgufFile file("/proc/self/fd/" + std::to_string(kFile));
    for (size_t i = 0; i < file.tensors().size(); ++i) {
      const uint64_t elements = file.tensors()[i].elements();
      std::vector<float> values(elements);
      file.read_f32(i, 0, elements, values.data());
      file.read_f32(i, elements / 3, elements / 2, values.data());
    }
    const std::string json = occ::gguf_metadata_json(file.metadata());
    OCC_CHECK(occ::gguf_metadata_json(occ::parse_gguf_metadata_json(json, "gguf.json")) == json);
  } catch (const occ::Error&) {
  }
  return 0;
}
