// A folder of quantized weights must be read completely or throw occ::Error. The input is one line, config.json, and
// the bytes of model.safetensors.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "io/for_test.h"
#include "io/open.h"

namespace {

// A folder in memory where there is one, removed at the end of the process.
class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::exists("/dev/shm") ? "/dev/shm/occ-fuzz-XXXXXX" : "/tmp/occ-fuzz-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Folder() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void put(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), input.size());
  put(folder.path() / "config.json", input.substr(0, line));
  put(folder.path() / "model.safetensors", input.substr(std::min(line + 1, input.size())));
  try {
    const std::unique_ptr<occ::TensorFile> file = occ::open_tensor_file(folder.path());
    uint64_t elements = 0;
    for (const occ::TensorInfo& t : file->tensors()) elements += std::min<uint64_t>(t.elements(), uint64_t{1} << 24);
    if (elements < (uint64_t{1} << 20)) occ::read_all_for_test(*file);
    file->side_files();
  } catch (const occ::Error&) {
  }
  return 0;
}
