// Packed integers come back one by one, whatever they are.
#include "operators/packed_integers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/parallel.h"
#include "base/rng.h"
#include "quantization/trellis_code.h"

namespace occ {
namespace {

// Integers k = 2 j + u of a walk in every column of every tile; j normal of the given size, with outliers.
Matrix<int32_t> walks(Shape shape, size_t tile_rows, uint32_t states, double size, double outliers, uint64_t seed) {
  const TrellisCode code = trellis_code(states);
  Rng rng(seed);
  Matrix<int32_t> k(shape.rows, shape.cols);
  for (size_t c = 0; c < shape.cols; ++c) {
    uint32_t state = 0;
    for (size_t r = 0; r < shape.rows; ++r) {
      if (r % tile_rows == 0) state = 0;
      double j = size * rng.normal();
      if (rng.uniform() < outliers) j = 65000 * (rng.uniform() - 0.5);
      const auto rounded = static_cast<int32_t>(std::clamp(j, -32768.0, 32767.0));
      k(r, c) = 2 * rounded + static_cast<int32_t>(state & 1);
      state = code.next(state, static_cast<uint32_t>(rounded) & 1);
    }
  }
  return k;
}

PackedIntegers::Source source_of(const Matrix<int32_t>& k, size_t tile_rows, const FiniteState* machine) {
  PackedIntegers::Source source;
  source.shape = k.shape();
  source.tile_rows = tile_rows;
  if (!PackedIntegers::can_carry(machine)) {
    source.read = [&k](const Rect& rows, MatrixView<int32_t> out) {
      std::copy_n(k.row(rows.row), out.size(), out.data());
    };
    return source;
  }
  source.machine = machine;
  source.bias = kTrellisBias;
  source.read_symbols = [&k](const Rect& rows, const SymbolsBody& body) {
    for (size_t row = 0; row < rows.rows; row += kCellRows) {
      Matrix<Symbol> s(std::min(kCellRows, rows.rows - row), k.cols());
      for (size_t i = 0; i < s.size(); ++i) {
        s.data()[i] = static_cast<Symbol>((k.row(rows.row + row)[i] >> 1) + static_cast<int32_t>(kTrellisBias));
      }
      body(rows.row + row, s.view());
    }
  };
  return source;
}

// All of them, and the first rows of every panel alone.
void expect_integers(const PackedIntegers& packed, const Matrix<int32_t>& k) {
  ASSERT_EQ(packed.shape(), k.shape());
  size_t rows = 0;
  for (size_t p = 0; p < packed.panels(); ++p) {
    ASSERT_EQ(packed.first_row(p), rows);
    rows += packed.panel_rows(p);
    for (size_t row = packed.first_row(p); row < rows; ++row) ASSERT_EQ(packed.panel_of(row), p);
    for (size_t cell = 0; cell < packed.cells(); ++cell) {
      for (const size_t count : {packed.panel_rows(p), ceil_div(packed.panel_rows(p), 2)}) {
        Matrix<uint8_t> bytes(kCellRows, kCellColumns);
        packed.unpack(p, cell, count, bytes.data());
        const size_t col = packed.first_column(cell), cols = packed.columns(cell);
        Matrix<int32_t> found(count, cols);
        for (size_t r = 0; r < count; ++r) {
          for (size_t c = 0; c < cols; ++c) {
            ASSERT_LE(bytes(r, c), packed.most(p, cell));
            found(r, c) = bytes(r, c) + packed.base(p, cell);
          }
        }
        for (const uint32_t e : packed.escapes(p, cell)) {
          const auto escape = PackedIntegers::unpack_escape(e);
          ASSERT_LT(escape.col, cols);
          if (escape.row < count) found(escape.row, escape.col) += escape.delta;
        }
        for (size_t r = 0; r < count; ++r) {
          for (size_t c = 0; c < cols; ++c)
            ASSERT_EQ(found(r, c), k(packed.first_row(p) + r, col + c)) << r << " " << c;
        }
      }
    }
  }
  EXPECT_EQ(rows, k.rows());
}

TEST(PackedIntegers, WalksComeBack) {
  for (const uint32_t states : {4u, 8u, 16u, 256u}) {
    const auto machine = trellis_machine(trellis_code(states));
    EXPECT_EQ(PackedIntegers::can_carry(machine.get()), states <= 8);
    for (const size_t tile_rows : {size_t{64}, size_t{100}, size_t{1024}}) {
      for (const Shape shape : {Shape{1, 1}, Shape{63, 31}, Shape{200, 300}, Shape{1100, 65}}) {
        for (const double size : {0.1, 1.0, 4.0, 15.0}) {
          for (const double outliers : {0.0, 0.004}) {
            const Matrix<int32_t> k = walks(shape, tile_rows, states, size, outliers, 1);
            const auto packed = PackedIntegers::pack(source_of(k, tile_rows, machine.get()));
            ASSERT_NE(packed, nullptr) << states << " " << tile_rows << " " << shape.rows << " " << size << " "
                                       << outliers;
            EXPECT_EQ(packed->carried(), states <= 8);
            expect_integers(*packed, k);
          }
        }
      }
    }
  }
}

TEST(PackedIntegers, OutliersTakeNoBitsOfOthers) {
  const auto machine = trellis_machine(trellis_code(8));
  const Matrix<int32_t> k = walks({1024, 512}, 1024, 8, 1, 0, 1), more = walks({1024, 512}, 1024, 8, 1, 0.001, 1);
  const auto plain = PackedIntegers::pack(source_of(k, 1024, machine.get()));
  const auto packed = PackedIntegers::pack(source_of(more, 1024, machine.get()));
  EXPECT_LT(packed->mean_bits(), plain->mean_bits() + 0.1);
  const double extra = 8 * static_cast<double>(packed->resident_bytes() - plain->resident_bytes()) / (1024 * 512);
  EXPECT_NEAR(extra, 0.032, 0.02);  // 32 bits for one in a thousand
}

TEST(PackedIntegers, FewColumnsArePadded) {  // cells cover the columns once, up to a multiple of 64
  const auto machine = trellis_machine(trellis_code(8));
  for (const size_t cols : {1u, 64u, 65u, 128u, 192u, 200u, 256u, 320u, 448u, 449u, 576u, 960u}) {
    const Matrix<int32_t> k = walks({128, cols}, 1024, 8, 1, 0, 1);
    const auto packed = PackedIntegers::pack(source_of(k, 1024, machine.get()));
    expect_integers(*packed, k);
    size_t column = 0;
    for (size_t cell = 0; cell < packed->cells(); ++cell) {
      EXPECT_EQ(packed->first_column(cell), column);
      EXPECT_EQ(packed->columns(cell), std::min(cols - column, packed->groups(cell) * kGroupColumns));
      column += packed->groups(cell) * kGroupColumns;
    }
    EXPECT_EQ(column, ceil_div(cols, size_t{64}) * 64);
    if (cols == 576 || cols == 960) {  // states take 8 / 64, escapes and the like the rest
      EXPECT_LT(8 * static_cast<double>(packed->resident_bytes()) / static_cast<double>(k.size()),
                packed->mean_bits() + 0.3);
    }
  }
}

TEST(PackedIntegers, BitsFollowTheRows) {  // every panel has its own
  const auto machine = trellis_machine(trellis_code(8));
  Matrix<int32_t> k = walks({128, 512}, 64, 8, 1, 0, 1);
  const Matrix<int32_t> large = walks({64, 512}, 64, 8, 20, 0, 2);
  std::copy_n(large.data(), large.size(), k.row(64));
  const auto packed = PackedIntegers::pack(source_of(k, 64, machine.get()));
  EXPECT_LT(packed->most(0, 0), 20u);
  EXPECT_GT(packed->most(1, 0), 100u);
  expect_integers(*packed, k);
}

TEST(PackedIntegers, ConstantsAndExtremes) {
  const auto eight = trellis_machine(trellis_code(8)), sixteen = trellis_machine(trellis_code(16));
  for (const int32_t j : {0, 1, -1, 511, 512, 513, -511, -512, -513, -601, 30001, -32768, 32767}) {
    for (const auto& machine : {eight, sixteen}) {
      const TrellisCode code = trellis_code(machine->num_states);
      Matrix<int32_t> k(70, 90);
      std::vector<uint32_t> states(90);
      for (size_t r = 0; r < 70; ++r) {
        for (size_t c = 0; c < 90; ++c) {
          const int32_t own = c % 7 == 3 ? -j : j;  // no two windows
          const int32_t inside = std::clamp(c < 45 ? j : own, -32768, 32767);
          k(r, c) = 2 * inside + static_cast<int32_t>(states[c] & 1);
          states[c] = code.next(states[c], static_cast<uint32_t>(inside) & 1);
        }
      }
      const auto packed = PackedIntegers::pack(source_of(k, 1024, machine.get()));
      if (packed != nullptr) expect_integers(*packed, k);
      if (std::abs(j) <= 1) {
        EXPECT_NE(packed, nullptr);
      }
      if (std::abs(j) > 601) {
        EXPECT_EQ(packed, nullptr);
      }
    }
  }
}

TEST(PackedIntegers, AnAlphabet) {
  Rng rng(1);
  for (const uint32_t alphabet : {1u, 2u, 5u, 16u, 256u}) {
    Matrix<int32_t> k(150, 333);
    for (size_t i = 0; i < k.size(); ++i) k.data()[i] = static_cast<int32_t>(rng.below(alphabet));
    PackedIntegers::Source source = source_of(k, 100, nullptr);
    source.alphabet = alphabet;
    const auto packed = PackedIntegers::pack(source);
    expect_integers(*packed, k);
    for (size_t p = 0; p < packed->panels(); ++p) {
      EXPECT_EQ(packed->base(p, 0), 0);
      EXPECT_TRUE(packed->escapes(p, 0).empty());
    }
    Matrix<uint8_t> buffer(kCellRows, kCellColumns);  // any row alone
    for (const size_t r : {0, 7, 35}) {
      const uint8_t* row = packed->unpack_row(1, 1, r, buffer.data());
      for (size_t c = 256; c < 333; ++c) EXPECT_EQ(row[c - 256], k(64 + r, c));
    }
  }
  Matrix<int32_t> k(3, 3);
  PackedIntegers::Source wide = source_of(k, 100, nullptr);
  wide.alphabet = 512;
  EXPECT_EQ(PackedIntegers::pack(wide), nullptr);
}

}  // namespace
}  // namespace occ
