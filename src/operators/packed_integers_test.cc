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
    for (size_t row = 0; row < rows.rows; row += kPanelRows) {
      Matrix<Symbol> s(std::min(kPanelRows, rows.rows - row), k.cols());
      for (size_t i = 0; i < s.size(); ++i) {
        s.data()[i] = static_cast<Symbol>((k.row(rows.row + row)[i] >> 1) + static_cast<int32_t>(kTrellisBias));
      }
      body(rows.row + row, s.view());
    }
  };
  return source;
}

// All of them, and some rows alone.
void expect_integers(const PackedIntegers& packed, const Matrix<int32_t>& k) {
  ASSERT_EQ(packed.shape(), k.shape());
  size_t rows = 0;
  Matrix<uint8_t> bytes(kPanelRows, kStripColumns), lanes(1, kStripColumns);
  for (size_t p = 0; p < packed.panels(); ++p) {
    ASSERT_EQ(packed.first_row(p), rows);
    rows += packed.panel_rows(p);
    for (size_t row = packed.first_row(p); row < rows; ++row) ASSERT_EQ(packed.panel_of(row), p);
    for (size_t s = 0; s < packed.strips(); ++s) {
      const Strip strip = packed.strip(p, s);
      ASSERT_EQ(strip.rows, packed.panel_rows(p));
      unpack_strip(strip, bytes.data());
      const size_t col = packed.first_column(s), cols = packed.columns(s);
      Matrix<int32_t> found(strip.rows, cols);
      for (size_t r = 0; r < strip.rows; ++r) {
        const uint8_t* alone = r % 9 == 5 || r + 1 == strip.rows ? packed.unpack_row(p, s, r, lanes.data()) : nullptr;
        for (size_t c = 0; c < cols; ++c) {
          ASSERT_LE(bytes(r, c), strip.most());
          ASSERT_TRUE(alone == nullptr || alone[c] == bytes(r, c)) << r << " " << c;
          found(r, c) = bytes(r, c) + packed.base(p, s);
        }
      }
      size_t last = 0;
      for (const uint32_t e : packed.escapes(p, s)) {
        const auto escape = PackedIntegers::unpack_escape(e);
        ASSERT_LT(escape.row, strip.rows);
        ASSERT_LT(escape.col, cols);
        ASSERT_GE(escape.col, last);
        last = escape.col;
        found(escape.row, escape.col) += escape.delta;
      }
      for (size_t r = 0; r < strip.rows; ++r) {
        for (size_t c = 0; c < cols; ++c) ASSERT_EQ(found(r, c), k(packed.first_row(p) + r, col + c)) << r << " " << c;
      }
    }
  }
  EXPECT_EQ(rows, k.rows());
}

TEST(PackedIntegers, WalksComeBack) {
  for (const uint32_t states : {4u, 8u, 16u, 32u, 64u, 128u, 256u}) {
    const auto machine = trellis_machine(trellis_code(states));
    EXPECT_TRUE(PackedIntegers::can_carry(machine.get()));
    for (const size_t tile_rows : {size_t{64}, size_t{100}, size_t{1024}}) {
      for (const Shape shape : {Shape{1, 1}, Shape{63, 31}, Shape{200, 300}, Shape{1100, 65}}) {
        for (const double size : {0.1, 1.0, 4.0, 15.0}) {
          for (const double outliers : {0.0, 0.004}) {
            const Matrix<int32_t> k = walks(shape, tile_rows, states, size, outliers, 1);
            const auto packed = PackedIntegers::pack(source_of(k, tile_rows, machine.get()));
            ASSERT_NE(packed, nullptr) << states << " " << tile_rows << " " << shape.rows << " " << size << " "
                                       << outliers;
            EXPECT_TRUE(packed->carried());
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

TEST(PackedIntegers, OtherMachinesAreNotCarried) {
  const auto machine = trellis_machine(trellis_code(8));
  EXPECT_FALSE(PackedIntegers::can_carry(nullptr));
  FiniteState other = *machine;
  std::swap(other.next[4], other.next[5]);
  EXPECT_FALSE(PackedIntegers::can_carry(&other));
  other = *machine;
  other.context[1] = 0;
  EXPECT_FALSE(PackedIntegers::can_carry(&other));
}

TEST(PackedIntegers, FewColumnsArePadded) {  // strips cover the columns once, up to a multiple of 64
  for (const uint32_t states : {8u, 64u}) {
    const auto machine = trellis_machine(trellis_code(states));
    for (const size_t cols : {1u, 64u, 65u, 128u, 192u, 200u, 256u, 320u, 448u, 449u, 576u, 960u, 1024u}) {
      const Matrix<int32_t> k = walks({128, cols}, 1024, states, 1, 0, 1);
      const auto packed = PackedIntegers::pack(source_of(k, 1024, machine.get()));
      expect_integers(*packed, k);
      size_t column = 0;
      for (size_t s = 0; s < packed->strips(); ++s) {
        EXPECT_EQ(packed->first_column(s), column);
        EXPECT_EQ(packed->columns(s), std::min(cols - column, packed->width(s)));
        EXPECT_EQ(packed->strip_of(column), s);
        EXPECT_EQ(packed->strip_of(column + packed->columns(s) - 1), s);
        column += packed->width(s);
      }
      EXPECT_EQ(column, ceil_div(cols, size_t{64}) * 64);
      EXPECT_EQ(column, packed->padded_columns());
      if (cols < 576) continue;
      // States take 3 or 6 bits for 64 weights, or for the fewer rows of a chain; heads and a few escapes the rest.
      const double bits = 8 * static_cast<double>(packed->resident_bytes()) / static_cast<double>(k.size());
      EXPECT_LT(bits, packed->mean_bits() + (cols == 1024 ? 0.15 : 0.3));
    }
  }
}

TEST(PackedIntegers, BitsFollowTheRows) {  // every panel has its own
  const auto machine = trellis_machine(trellis_code(8));
  Matrix<int32_t> k = walks({128, 512}, 64, 8, 1, 0, 1);
  const Matrix<int32_t> large = walks({64, 512}, 64, 8, 20, 0, 2);
  std::copy_n(large.data(), large.size(), k.row(64));
  const auto packed = PackedIntegers::pack(source_of(k, 64, machine.get()));
  EXPECT_LT(packed->strip(0, 0).most(), 20u);
  EXPECT_GT(packed->strip(1, 0).most(), 100u);
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
  }
  Matrix<int32_t> k(3, 3);
  PackedIntegers::Source wide = source_of(k, 100, nullptr);
  wide.alphabet = 512;
  EXPECT_EQ(PackedIntegers::pack(wide), nullptr);
}

}  // namespace
}  // namespace occ
