#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <numeric>
#include <thread>

#include "base/file.h"
#include "base/glob.h"
#include "base/outputs.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "test_data.h"

namespace occ {
namespace {

TEST(Glob, MatchesLikeAShell) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("*norm*", "model.norm.weight"));
  EXPECT_TRUE(glob_match("a?c", "abc"));
  EXPECT_TRUE(glob_match("*a*b*c", "xxaybzbc"));
  EXPECT_FALSE(glob_match("a?c", "ac"));
  EXPECT_FALSE(glob_match("*.bias", "bias.weight"));
  EXPECT_FALSE(glob_match("", "x"));
}

TEST(DescribeFiles, SeesChangesInNestedFolders) {
  const TempFolder folder;
  std::filesystem::create_directories(folder / "texts/more");
  std::ofstream(folder / "texts/more/a.txt") << "one";
  const std::string before = describe_files(folder / "texts");
  EXPECT_EQ(describe_files(folder / "texts/"), before);
  std::ofstream(folder / "texts/more/a.txt") << "two";
  EXPECT_NE(describe_files(folder / "texts"), before);
}

TEST(DescribeFiles, SeesChangesInOtherParts) {
  const TempFolder folder;
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "other.gguf"})
    std::ofstream(folder / name) << name;
  const std::string before = describe_files(folder / "m-00001-of-00002.gguf");
  std::ofstream(folder / "other.gguf") << "changed";
  EXPECT_EQ(describe_files(folder / "m-00001-of-00002.gguf"), before);
  std::ofstream(folder / "m-00002-of-00002.gguf") << "changed";
  EXPECT_NE(describe_files(folder / "m-00001-of-00002.gguf"), before);
}

TEST(Rng, IsTheSameEverywhere) {
  // Pinned: seeds in archives must mean the same signs for ever.
  EXPECT_EQ(random_word(0, 0), 0xa706dd2f4d197e6fULL);
  EXPECT_EQ(random_word(7, 3), random_word(7, 3));
  EXPECT_NE(random_word(7, 3), random_word(8, 3));
  Rng rng(1);
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.02);
  EXPECT_NEAR(squares / kCount, 1, 0.02);
}

TEST(Parallel, RunsEveryItemOnceAndRethrows) {
  for (const size_t count : {0, 1, 2, 1000}) {
    std::vector<std::atomic<int>> hits(count);
    parallel_for(count, [&](size_t i) { ++hits[i]; });
    for (const auto& h : hits) EXPECT_EQ(h, 1);
  }
  EXPECT_THROW(parallel_for(100,
                            [](size_t i) {
                              if (i == 57) throw Error(ErrorKind::kInput, "x");
                            }),
               Error);
}

// One body waits until the inner loop of the other one has begun, and throws: the inner loop has to run all its bodies
// all the same, or to throw.
TEST(Parallel, InnerLoopIsWholeThoughAnOuterBodyThrows) {
  if (max_threads() < 2) GTEST_SKIP() << "needs two threads";
  constexpr int kInner = 2000;
  std::atomic<int> hits{0};
  std::atomic<bool> begun{false}, thrown{false}, returned{false};
  const auto wait_for = [](const std::atomic<bool>& flag) {
    for (int i = 0; i < 2000 && !flag; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  EXPECT_THROW(parallel_for(2,
                            [&](size_t i) {
                              if (i == 1) {
                                wait_for(begun);
                                thrown = true;
                                throw Error(ErrorKind::kFailed, "x");
                              }
                              parallel_for(kInner, [&](size_t) {
                                begun = true;
                                wait_for(thrown);
                                std::this_thread::sleep_for(std::chrono::microseconds(50));
                                ++hits;
                              });
                              returned = true;
                            }),
               Error);
  EXPECT_TRUE(returned);
  EXPECT_EQ(hits, kInner);
}

TEST(OutputFile, AppearsOnlyWhenCommitted) {
  const TempFolder folder;
  const auto path = folder / "out";
  {
    OutputFile file(path);
    file.write("abc", 3);
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  OutputFile file(path);
  file.write("abc", 3);
  file.pad_to(8);
  file.write_at(1, "X", 1);
  file.commit();
  const Bytes expected = {'a', 'X', 'c', 0, 0, 0, 0, 0};
  EXPECT_EQ(read_file(path), expected);
  EXPECT_THROW(require_writable_target(path, false), Error);
  EXPECT_NO_THROW(require_writable_target(path, true));
  EXPECT_THROW(require_writable_target(folder / "no/such/folder/x", true), Error);
}

TEST(InputFile, RefusesWhatIsNotThere) {
  const TempFolder folder;
  EXPECT_THROW(InputFile(folder / "missing"), Error);
  EXPECT_THROW(InputFile(folder.path()), Error);
  std::ofstream(folder / "f") << "12345";
  const InputFile file(folder / "f");
  EXPECT_EQ(file.size(), 5u);
  EXPECT_EQ(file.read(1, 4), (Bytes{'2', '3', '4', '5'}));
  EXPECT_THROW(file.read(1, 5), Error);
  EXPECT_THROW(file.read(~uint64_t{0}, 2), Error);
  EXPECT_THROW(file.read(0, ~size_t{0}), Error);  // before anything of that size is allocated
}

// Opening a FIFO for reading waits for a writer, who may never come.
TEST(InputFile, RefusesPipesAtOnce) {
  const TempFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(InputFile(folder / "pipe"), Error);
}

TEST(RequireNotInput, FollowsLinksAndFolders) {
  const TempFolder folder;
  namespace fs = std::filesystem;
  fs::create_directories(folder / "model/1_Pooling");
  for (const char* name : {"model/w.safetensors", "model/1_Pooling/config.json", "other"}) {
    std::ofstream(folder / name) << name;
  }
  fs::create_symlink(folder / "model/w.safetensors", folder / "soft");
  fs::create_hard_link(folder / "model/w.safetensors", folder / "hard");
  fs::create_directory_symlink(folder / "model", folder / "link");
  const auto refused = [&](const std::string& output, const std::string& input) {
    try {
      require_not_input(folder / output, folder / input);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
      return true;
    }
    return false;
  };
  const char* names[] = {"model/w.safetensors", "soft", "hard", "link/w.safetensors"};
  for (const char* output : names) {
    for (const char* input : names) EXPECT_TRUE(refused(output, input)) << output << " " << input;
    for (const char* input : {"model", "link", "model/"}) EXPECT_TRUE(refused(output, input)) << output << " " << input;
    EXPECT_FALSE(refused(output, "other")) << output;
    EXPECT_FALSE(refused("other", output)) << output;
    EXPECT_FALSE(refused("model/new", output)) << output;
  }
  EXPECT_TRUE(refused("model/1_Pooling/config.json", "model"));
  for (const char* output : {"model", "link", "model/"}) {
    for (const char* input : {"model", "link", "model/w.safetensors", "soft", "model/1_Pooling/config.json"}) {
      EXPECT_TRUE(refused(output, input)) << output << " " << input;
    }
    EXPECT_FALSE(refused(output, "other")) << output;
  }
  EXPECT_FALSE(refused("model/new", "model"));
  EXPECT_FALSE(refused("new", "model"));
  EXPECT_FALSE(refused("other", "missing"));
}

TEST(OutputLock, IsHeldByOneAtATime) {
  const TempFolder folder;
  for (const char* output : {"out", "out/"}) {
    std::ofstream(folder / "out.lock") << "";  // as a killed run leaves it
    {
      const OutputLock lock(folder / output);
      EXPECT_THROW(OutputLock(folder / "out"), Error);
      EXPECT_THROW(OutputLock(folder / "out/"), Error);
      const OutputLock other(folder / "out2");
    }
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  }
  // Of threads that want it at the same time never two have it.
  std::atomic<int> holders = 0, had = 0, clashes = 0;
  parallel_for(200, [&](size_t) {
    try {
      const OutputLock lock(folder / "out");
      clashes += ++holders != 1;
      ++had;
      --holders;
    } catch (const Error&) {
    }
  });
  EXPECT_EQ(clashes, 0);
  EXPECT_GT(had, 0);
  EXPECT_THROW(OutputLock(folder / "no/such/folder"), Error);
  // poetry.lock, Cargo.lock and the like belong to other programs.
  std::ofstream(folder / "poetry.lock") << "x";
  EXPECT_THROW(OutputLock(folder / "poetry"), Error);
  EXPECT_EQ(std::filesystem::file_size(folder / "poetry.lock"), 1u);
}

TEST(RequireFreeSpace, TellsBothNumbers) {
  const TempFolder folder;
  EXPECT_NO_THROW(require_free_space(folder / "x", 1));
  try {
    require_free_space(folder / "x", uint64_t{1} << 62);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kFailed);
    EXPECT_NE(std::string(e.what()).find("4611686018427387904"), std::string::npos);
  }
}

}  // namespace
}  // namespace occ
