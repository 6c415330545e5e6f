// The only unit of the tests that knows absolute paths, so that compilers' caches serve every copy of the tree.
#include "test_data.h"

#include <cstdlib>
#include <fstream>

namespace occ {

std::filesystem::path source_folder() { return OCC_SOURCE_DIR; }

std::filesystem::path test_data_folder() {
  const char* env = std::getenv("OCC_TEST_DATA");
  return env != nullptr ? env : OCC_DEFAULT_TEST_DATA;
}

std::string read_text_for_test(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace occ
