// VecsFile must open and read any file under each of its extensions or throw occ::Error.
#include <unistd.h>

#include <cstdlib>

#include "io/for_test.h"
#include "io/vecs.h"

namespace {

// The reader chooses the format by the extension, so one file has three names. They are removed at the end.
struct Names {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("occ-vecs-fuzz-" + std::to_string(getpid()));
  Names() {
    std::filesystem::create_directory(folder);
    for (const char* name : {"x.bvecs", "x.ivecs"}) std::filesystem::create_symlink("x.fvecs", folder / name);
  }
  ~Names() {
    std::error_code ec;
    std::filesystem::remove_all(folder, ec);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Names names;
  occ::put_bytes_for_test(names.folder / "x.fvecs", {reinterpret_cast<const char*>(data), size});
  for (const char* name : {"x.fvecs", "x.bvecs", "x.ivecs"}) {
    try {
      occ::read_all_for_test(occ::VecsFile(names.folder / name));
    } catch (const occ::Error&) {
    }
  }
  return 0;
}
