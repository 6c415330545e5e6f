// Temporaries of outputs: those of dead runs are removed, those of living ones are not, and outputs are whole.
#include "base/temporary.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <string>

#include "base/file.h"
#include "test_data.h"

namespace occ {
namespace {

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

TEST(Temporary, LeftoversOfDeadRunsAreRemoved) {
  const TempFolder folder;
  const auto path = folder / "out.npy";
  std::set<std::string> kept = {"out.npy.tmp", "out.npy.tmpx", "out.npy.tmp12.npy", "other.npy.tmp1", "out.npy.tmp7"};
  for (const std::string& name : kept) std::ofstream(folder / name) << "x";
  std::filesystem::remove(folder / "out.npy.tmp7");
  std::filesystem::create_symlink(folder / "other.npy.tmp1", folder / "out.npy.tmp7");
  std::ofstream(folder / "out.npy.tmp123") << "x";
  std::filesystem::create_directories(folder / "out.npy.tmp99/inner");
  {
    OutputFile file(path), second(path);  // alive
    const OutputFolder third(path);
    EXPECT_NE(file.temporary_path(), second.temporary_path());
    remove_stale_temporaries(path);
    for (const auto& temporary : {file.temporary_path(), second.temporary_path(), third.temporary_path()}) {
      EXPECT_TRUE(std::filesystem::exists(temporary));
      kept.insert(temporary.filename().string());
    }
    EXPECT_EQ(names_in(folder.path()), kept);
    for (const auto& temporary : {file.temporary_path(), second.temporary_path(), third.temporary_path()}) {
      kept.erase(temporary.filename().string());
    }
  }
  EXPECT_EQ(names_in(folder.path()), kept);
}

// A name that is taken is left to whoever took it.
TEST(Temporary, TakesAnotherNameWhereOneIsTaken) {
  const TempFolder folder;
  const auto taken = folder / ("out.tmp" + std::to_string(::getpid()));
  std::ofstream(taken) << "x";
  OutputFile file(folder / "out");
  file.write("abc", 3);
  file.commit();
  EXPECT_EQ(read_file(taken), Bytes{'x'});
  EXPECT_EQ(read_file(folder / "out"), (Bytes{'a', 'b', 'c'}));
}

TEST(OutputFolder, ReplacesTheOldOneAsAWhole) {
  const TempFolder folder;
  const auto path = folder / "out";
  for (const char* name : {"first", "second"}) {
    { const OutputFolder left(path / ""); }
    OutputFolder out(path / "");
    std::ofstream(out.temporary_path() / name) << "x";
    out.commit();
    EXPECT_EQ(names_in(path), std::set<std::string>{name});
    EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"out"});
  }
}

}  // namespace
}  // namespace occ
