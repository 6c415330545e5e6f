// Where the optional test data lies. Tests that need it skip with a visible line when it is absent.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace occ {

// The root of the project's source tree.
std::filesystem::path source_folder();
// OCC_TEST_DATA, or where the build expects the data.
std::filesystem::path test_data_folder();
// The bytes of a file.
std::string read_text_for_test(const std::filesystem::path& path);

// A fresh folder for one test, removed with it.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "occ-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ec;
    std::filesystem::remove_all(path_, ec);
  }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace occ

// OCC_REQUIRE_DATA(path, "models/x"): declares `path`, or skips the test.
#define OCC_REQUIRE_DATA(variable, relative)                                   \
  const std::filesystem::path variable = occ::test_data_folder() / (relative); \
  if (!std::filesystem::exists(variable)) GTEST_SKIP() << "test data not found: " << variable
