#include "base/cache.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "occ/error.h"
#include "test_data.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

class Cache : public ::testing::Test {
 protected:
  void SetUp() override { setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1); }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    unsetenv("OCC_CACHE_SIZE");
  }
  fs::path file(const std::string& name) const { return folder_ / "occ" / name; }
  void write(const std::string& name, size_t bytes, int days_ago) {
    write_cache(name, Bytes(bytes, 1));
    used(name, days_ago);
  }
  void used(const std::string& name, int days_ago) const {
    fs::last_write_time(file(name), fs::file_time_type::clock::now() - std::chrono::hours(24 * days_ago));
  }
  bool has(const std::string& name) const { return fs::exists(file(name)); }

  const TempFolder folder_;
};

TEST_F(Cache, GivesBackWhatIsWhole) {
  write_cache("a", Bytes{1, 2, 3});
  EXPECT_EQ(read_cache("a"), (Bytes{1, 2, 3}));
  EXPECT_FALSE(read_cache("b"));
  std::fstream(file("a"), std::ios::in | std::ios::out).seekp(9).put('x');
  EXPECT_FALSE(read_cache("a"));
}

TEST_F(Cache, RemovesWhatWasNotUsedForLong) {
  write("old", 10, 91);
  write("kept", 10, 91);
  ASSERT_TRUE(read_cache("kept"));  // which is a use
  write("new", 10, 0);
  EXPECT_FALSE(has("old"));
  EXPECT_TRUE(has("kept"));
}

TEST_F(Cache, KeepsWithinItsSize) {
  setenv("OCC_CACHE_SIZE", "2.5kB", 1);
  write("a", 1000, 3);
  write("b", 1000, 2);
  EXPECT_TRUE(has("a"));
  write("c", 1000, 1);
  EXPECT_FALSE(has("a"));  // used longest ago
  EXPECT_TRUE(has("b") && has("c"));
  write_cache("too large", Bytes(2500));
  EXPECT_TRUE(has("b") && has("c") && !has("too large"));
  setenv("OCC_CACHE_SIZE", "0", 1);
  EXPECT_FALSE(read_cache("c"));
  write_cache("d", Bytes(1));
  EXPECT_FALSE(has("d"));
  check_cache_size();
  setenv("OCC_CACHE_SIZE", "much", 1);
  EXPECT_THROW(check_cache_size(), Error);
  EXPECT_THROW(read_cache("c"), Error);
}

TEST_F(Cache, RemovesTemporariesOfDeadRuns) {
  write("a", 1, 0);
  std::ofstream(file("b.tmp12")) << "x";
  const OutputFile alive(file("c"));
  write("a", 1, 0);
  EXPECT_FALSE(has("b.tmp12"));
  EXPECT_TRUE(fs::exists(alive.temporary_path()));
}

}  // namespace
}  // namespace occ
