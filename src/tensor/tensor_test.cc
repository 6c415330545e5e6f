#include <gtest/gtest.h>

#include "occ/matrix.h"
#include "tensor/symbols.h"
#include "tensor/tensor_file.h"

namespace occ {
namespace {

TEST(MatrixShape, JoinsTheLastDimensions) {
  EXPECT_EQ(matrix_shape({}), (Shape{1, 1}));
  EXPECT_EQ(matrix_shape({7}), (Shape{1, 7}));
  EXPECT_EQ(matrix_shape({3, 5}), (Shape{3, 5}));
  EXPECT_EQ(matrix_shape({512, 80, 3}), (Shape{512, 240}));
  EXPECT_EQ(matrix_shape({512, 512, 3, 3}), (Shape{512, 4608}));
  EXPECT_EQ(matrix_shape({8, 128, 64}), (Shape{1024, 64}));
  EXPECT_EQ(matrix_shape({64, 2, 2}), (Shape{64, 4}));
  EXPECT_EQ(matrix_shape({0, 5}), (Shape{0, 5}));
  EXPECT_EQ(matrix_shape({5, 0}), (Shape{5, 0}));
}

TEST(Symbols, WidthsAndTiles) {
  EXPECT_EQ(symbol_width(1), 0u);
  EXPECT_EQ(symbol_width(2), 1u);
  EXPECT_EQ(symbol_width(3), 2u);
  EXPECT_EQ(symbol_width(65536), 16u);
  SymbolPlane plane;
  plane.cols = 4096;
  EXPECT_EQ(tile_rows(plane), 64u);
  plane.lines = LineAxis::kColumns;
  EXPECT_EQ(tile_rows(plane), 1024u);
  plane.cols = 0;
  EXPECT_GE(tile_rows(plane), 1u);
}

TEST(Matrix, MovesAndViews) {
  Matrix<float> m(3, 4);
  m(2, 3) = 5;
  Matrix<float> n = std::move(m);
  EXPECT_EQ(m.data(), nullptr);  // NOLINT(bugprone-use-after-move): moved-from matrices are empty
  EXPECT_EQ(n(2, 3), 5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(n.data()) % 64, 0u);
  const MatrixView<const float> v = n.view().sub({1, 1, 2, 3});
  EXPECT_EQ(v(1, 2), 5);
  EXPECT_FALSE(v.contiguous());
  EXPECT_THROW(Matrix<float>(~size_t{0} / 2, 16), std::bad_alloc);
}

}  // namespace
}  // namespace occ
