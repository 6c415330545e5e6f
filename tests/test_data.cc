// The only unit of the tests that knows absolute paths, so that compilers' caches serve every copy of the tree.
#include "test_data.h"

#include <cstdlib>

namespace occ {

std::filesystem::path source_folder() { return OCC_SOURCE_DIR; }

std::filesystem::path test_data_folder() {
  const char* env = std::getenv("OCC_TEST_DATA");
  return env != nullptr ? env : OCC_DEFAULT_TEST_DATA;
}

}  // namespace occ
