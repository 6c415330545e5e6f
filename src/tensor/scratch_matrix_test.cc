#include "tensor/scratch_matrix.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "test_data.h"

namespace occ {
namespace {

TEST(ScratchMatrix, IsZeroMovesAndLeavesNoFile) {
  const TempFolder folder;
  ScratchMatrix a(folder.path(), 100, 37);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  for (size_t r = 0; r < 100; ++r) {
    for (size_t c = 0; c < 37; ++c) {
      ASSERT_EQ(a.view()(r, c), 0);
      a.view()(r, c) = static_cast<float>(r * 37 + c);
    }
  }
  ScratchMatrix b = std::move(a);
  EXPECT_EQ(a.rows(), 0);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.view()(99, 36), 3699);
  b.release();
  EXPECT_EQ(b.view()(99, 36), 3699);
  const ScratchMatrix empty(folder.path(), 0, 5);
  EXPECT_EQ(empty.cols(), 5);
  empty.release();
}

TEST(ScratchMatrix, AMissingFolderIsNamed) {
  try {
    ScratchMatrix(std::filesystem::path("/nowhere/at/all"), 2, 2);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kFailed);
    EXPECT_NE(std::string(e.what()).find("/nowhere/at/all"), std::string::npos);
  }
}

}  // namespace
}  // namespace occ
