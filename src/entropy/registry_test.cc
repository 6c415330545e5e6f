// Tests the invariants of every registered coder: exact round trip, saved tables, strided views, hostile bytes, and the
// same bytes and symbols on every SIMD target.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "entropy/coder.h"
#include "entropy/planes_for_test.h"
#include "hwy/targets.h"
#include "test_data.h"

namespace occ {
namespace {

// kScaled and kScaledTrellis have scales that differ by rows and columns, and tables for both.
enum class Kind { kPlain, kIds, kTrellis, kWide, kWideIds, kScaled, kScaledTrellis };
const char* const kKindNames[] = {"Plain", "Ids", "Trellis", "Wide", "WideIds", "Scaled", "ScaledTrellis"};

struct Case {
  std::string coder;
  uint32_t alphabet;
  Kind kind;
};

struct Data {
  SymbolPlane plane;
  Matrix<Symbol> symbols;
};

std::vector<double> some_weights(uint32_t alphabet, uint64_t which) {
  switch (which % 4) {
    case 0:
      return gaussian_weights(alphabet, 4.5);
    case 1:
      return uniform_weights(alphabet);
    case 2:
      return skewed_weights(alphabet, 0.98);
    default:
      return geometric_weights(alphabet, 0.8);
  }
}

Data make_data(uint32_t alphabet, Kind kind, Shape shape, LineAxis axis, uint64_t which) {
  Data d;
  d.plane = make_plane(shape.rows, shape.cols, alphabet, axis);
  d.symbols = draw_symbols(shape.rows, shape.cols, some_weights(alphabet, which), 7 + which);
  if (kind == Kind::kIds || kind == Kind::kWideIds) {
    for (size_t i = 0; i < d.plane.num_lines(); ++i) d.plane.table_ids.push_back(static_cast<uint8_t>(i * 7 % 3));
  }
  if (kind == Kind::kTrellis || kind == Kind::kScaledTrellis) d.plane.contexts = trellis_machine();
  if (kind == Kind::kWide || kind == Kind::kWideIds) d.plane.contexts = wide_machine();
  if (kind == Kind::kScaled || kind == Kind::kScaledTrellis) {
    double ideal = 0;
    d.symbols = draw_scaled(d.plane, 1, 3, 7 + which, &ideal);
  }
  return d;
}

const Shape kShapes[] = {{0, 5},   {5, 0},   {1, 1},   {1, 16},  {1, 300}, {300, 1}, {2, 15},
                         {33, 16}, {17, 33}, {40, 63}, {3, 257}, {64, 64}, {129, 5}, {40, 256}};

Params default_params(const CoderEntry& entry) { return Params(entry.params); }

// Calls body for the tiles of a plane, with a few rows each.
void for_each_tile(const SymbolPlane& plane, size_t rows, const std::function<void(const Rect&)>& body) {
  for (size_t row = 0; row < plane.rows; row += rows) body({row, 0, std::min(rows, plane.rows - row), plane.cols});
}

class CoderTest : public testing::TestWithParam<Case> {
 protected:
  const CoderEntry& entry() const { return *find_coder(GetParam().coder); }
  std::unique_ptr<EntropyCoder> fit(const Data& d, const Params& params) const {
    return entry().fit(params, d.plane, d.symbols.view(), {});
  }
  std::unique_ptr<EntropyCoder> fit(const Data& d) const {
    Params params = default_params(entry());
    const Kind kind = GetParam().kind;
    if ((kind == Kind::kScaled || kind == Kind::kScaledTrellis) && params.has("tables")) params.set("tables", "9");
    return fit(d, params);
  }
  // Saves and loads the coder. The reader must then be at its end.
  std::unique_ptr<EntropyCoder> reload(const EntropyCoder& coder, const SymbolPlane& plane) const {
    ByteWriter side;
    coder.save(side);
    ByteReader reader(side.span(), "side");
    auto loaded = entry().load(default_params(entry()), plane, reader);
    reader.expect_done();
    ByteWriter again;
    loaded->save(again);
    EXPECT_EQ(again.take(), side.take());
    return loaded;
  }
  void for_each_data(const std::function<void(const Data&)>& body) const {
    uint64_t which = 0;
    for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
      for (const Shape shape : kShapes) {
        SCOPED_TRACE(fmt::format("{} x {}, lines {}, weights {}", shape.rows, shape.cols,
                                 axis == LineAxis::kRows ? "rows" : "columns", which % 4));
        body(make_data(GetParam().alphabet, GetParam().kind, shape, axis, which++));
      }
    }
  }
};

TEST_P(CoderTest, RoundTrip) {
  for_each_data([&](const Data& d) {
    const auto coder = fit(d);
    const auto loaded = reload(*coder, d.plane);
    for (const size_t rows : {size_t{16}, std::max<size_t>(d.plane.rows, 1)}) {
      for_each_tile(d.plane, rows, [&](const Rect& at) {
        const MatrixView<const Symbol> in = d.symbols.view().sub(at);
        const Bytes bytes = coder->encode(at, in);
        EXPECT_EQ(loaded->encode(at, in), bytes);
        if (entry().fixed_bytes != nullptr) {
          EXPECT_EQ(entry().fixed_bytes(default_params(entry()), d.plane, at.rows), bytes.size());
        }
        EXPECT_LE(bytes.size() * 8, in.size() * symbol_width(d.plane.alphabet) + 16) << "expanded";
        // Decodes into a strided view, whose padding must not change.
        Matrix<Symbol> out(at.rows, at.cols + 3);
        for (size_t i = 0; i < out.size(); ++i) out.data()[i] = 0xabcd;
        loaded->decode(at, bytes, out.view().sub({0, 1, at.rows, at.cols}));
        Matrix<Symbol> dense(at.rows, at.cols);
        coder->decode(at, bytes, dense.view());
        for (size_t r = 0; r < at.rows; ++r) {
          for (size_t c = 0; c < at.cols; ++c) {
            ASSERT_EQ(dense(r, c), in(r, c)) << r << ", " << c;
            ASSERT_EQ(out(r, c + 1), in(r, c)) << r << ", " << c;
          }
          EXPECT_EQ(out(r, 0), 0xabcd);
          EXPECT_EQ(out(r, at.cols + 1), 0xabcd);
        }
        size_t next = 0;
        coder->decode_by_rows(at, bytes, 7, [&](size_t row, MatrixView<const Symbol> some) {
          ASSERT_EQ(row, next);
          ASSERT_EQ(some.shape(), (Shape{std::min<size_t>(7, at.rows - row), at.cols}));
          for (size_t i = 0; i < some.size(); ++i) {
            ASSERT_EQ(some(i / at.cols, i % at.cols), in(row + i / at.cols, i % at.cols));
          }
          next += some.rows();
        });
        EXPECT_EQ(next, at.rows);
        // Encodes from a strided view.
        EXPECT_EQ(coder->encode(at, out.view().sub({0, 1, at.rows, at.cols})), bytes);
      });
    }
  });
}

// Tables that are fitted to one plane can code any other plane with the same alphabet.
TEST_P(CoderTest, CodesSymbolsItNeverSaw) {
  const auto [name, alphabet, kind] = GetParam();
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    for (uint64_t seen = 0; seen < 4; ++seen) {
      const auto coder = fit(make_data(alphabet, kind, {60, 61}, axis, seen));
      for (uint64_t other = 0; other < 4; ++other) {
        const Data d = make_data(alphabet, kind, {60, 61}, axis, other);
        const Rect at{0, 0, 60, 61};
        const Bytes bytes = coder->encode(at, d.symbols.view());
        Matrix<Symbol> out(60, 61);
        coder->decode(at, bytes, out.view());
        ASSERT_TRUE(std::equal(out.data(), out.data() + out.size(), d.symbols.data())) << seen << ", " << other;
      }
    }
  }
}

TEST_P(CoderTest, SameOnEveryTarget) {
  const auto [name, alphabet, kind] = GetParam();
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    const Data d = make_data(alphabet, kind, {90, 211}, axis, 0);
    const auto coder = fit(d);
    const Rect at{0, 0, 90, 211};
    Bytes first;
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      const Bytes bytes = coder->encode(at, d.symbols.view());
      if (first.empty()) first = bytes;
      EXPECT_EQ(bytes, first) << hwy::TargetName(target);
      Matrix<Symbol> out(90, 211);
      coder->decode(at, bytes, out.view());
      EXPECT_TRUE(std::equal(out.data(), out.data() + out.size(), d.symbols.data())) << hwy::TargetName(target);
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

// Gives an input error or symbols of the alphabet. Sanitizers find everything else.
TEST_P(CoderTest, HostileBytes) {
  const uint32_t alphabet = GetParam().alphabet;
  const Kind kind = GetParam().kind;
  for (const uint64_t which : {0, 2}) {
    const LineAxis axis = which == 0 ? LineAxis::kColumns : LineAxis::kRows;
    const Data d = make_data(alphabet, kind, {30, 37}, axis, which);
    const Rect at{0, 0, 30, 37};
    const auto coder = fit(d);
    Matrix<Symbol> out(30, 37);
    size_t errors = 0;
    const auto try_decode = [&](const EntropyCoder& c, ByteSpan bytes) {
      bool bad_by_rows = false;
      try {
        c.decode_by_rows(at, bytes, 8, [&](size_t, MatrixView<const Symbol> some) {
          for (size_t i = 0; i < some.size(); ++i) ASSERT_LT(some(i / 37, i % 37), alphabet);
        });
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
        bad_by_rows = true;
      }
      try {
        c.decode(at, bytes, out.view());
        for (size_t i = 0; i < out.size(); ++i) ASSERT_LT(out.data()[i], alphabet);
        EXPECT_FALSE(bad_by_rows);
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
        EXPECT_TRUE(bad_by_rows);
        ++errors;
      }
    };
    Rng rng(which);
    const Bytes bytes = coder->encode(at, d.symbols.view());
    for (size_t size = 0; size < bytes.size(); ++size) {
      errors = 0;
      try_decode(*coder, Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)));
      if (size != 0 && bytes[0] != 0) {
        EXPECT_EQ(errors, 1u) << "truncated to " << size;
      }
    }
    for (int i = 0; i < 300 && !bytes.empty(); ++i) {
      Bytes bad = bytes;
      bad[i < 100 ? static_cast<size_t>(i) % bad.size() : rng.below(bad.size())] ^=
          static_cast<uint8_t>(1 + rng.below(255));
      try_decode(*coder, bad);
    }
    Bytes longer = bytes;
    longer.push_back(0);
    errors = 0;
    try_decode(*coder, longer);
    EXPECT_EQ(errors, 1u);

    ByteWriter writer;
    coder->save(writer);
    const Bytes side = writer.take();
    const auto try_load = [&](const Bytes& s) {
      try {
        ByteReader reader(s, "side");
        const auto loaded = entry().load(default_params(entry()), d.plane, reader);
        try_decode(*loaded, bytes);
        const Bytes again = loaded->encode(at, d.symbols.view());
        loaded->decode(at, again, out.view());
        for (size_t k = 0; k < out.size(); ++k) ASSERT_EQ(out.data()[k], d.symbols.data()[k]);
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      }
    };
    for (size_t size = 0; size < side.size(); size += 1 + side.size() / 200) {
      ByteReader reader(ByteSpan(side.data(), size), "side");
      EXPECT_THROW(entry().load(default_params(entry()), d.plane, reader), Error) << size;
    }
    for (int i = 0; i < 150 && !side.empty(); ++i) {
      Bytes bad = side;
      bad[i < 50 ? static_cast<size_t>(i) % bad.size() : rng.below(bad.size())] ^=
          static_cast<uint8_t>(1 + rng.below(255));
      try_load(bad);
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const CoderEntry& entry : coder_registry()) {
    for (const uint32_t alphabet : {1u, 2u, 3u, 4u, 5u, 16u, 17u, 255u, 256u, 257u, 1000u, 65536u}) {
      for (const Kind kind : {Kind::kPlain, Kind::kIds, Kind::kTrellis, Kind::kWide, Kind::kWideIds, Kind::kScaled,
                              Kind::kScaledTrellis}) {
        all.push_back({std::string(entry.name), alphabet, kind});
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(AllCoders, CoderTest, testing::ValuesIn(cases()), [](const auto& given) {
  return fmt::format("{}_{}_{}", given.param.coder, given.param.alphabet,
                     kKindNames[static_cast<int>(given.param.kind)]);
});

TEST(CoderRegistry, NamesAreUniqueAndFound) {
  for (const CoderEntry& entry : coder_registry()) EXPECT_EQ(find_coder(entry.name), &entry);
  EXPECT_EQ(find_coder("no such coder"), nullptr);
  EXPECT_NE(find_coder("bitpack"), nullptr);
  EXPECT_NE(find_coder("rans"), nullptr);
}

TEST(CoderRegistry, BigTilesRoundTrip) {
  for (const CoderEntry& entry : coder_registry()) {
    for (const uint32_t alphabet : {2u, 16u, 200u, 3000u}) {
      const Data d = make_data(alphabet, Kind::kPlain, {700, 801}, LineAxis::kRows, 0);
      const auto coder = entry.fit(Params(entry.params), d.plane, d.symbols.view(), {});
      for_each_tile(d.plane, tile_rows(d.plane), [&](const Rect& at) {
        const MatrixView<const Symbol> in = d.symbols.view().sub(at);
        const Bytes bytes = coder->encode(at, in);
        Matrix<Symbol> out(at.rows, at.cols);
        coder->decode(at, bytes, out.view());
        ASSERT_TRUE(std::equal(out.data(), out.data() + out.size(), in.data())) << entry.name << " " << alphabet;
      });
    }
  }
}

// A second decoder, in Python, must decode the same symbols. Needs an interpreter with numpy: $OCC_PYTHON or python3.
TEST(CoderRegistry, ThePythonDecoderAgrees) {
  const char* chosen = std::getenv("OCC_PYTHON");
  const std::string python = chosen != nullptr && *chosen != 0 ? chosen : "python3";
  if (std::system((python + " -c 'import numpy' 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "no python with numpy";
  const auto hex = [](ByteSpan bytes) {
    std::string text;
    for (const uint8_t b : bytes) text += fmt::format("{:02x}", b);
    return text;
  };
  std::vector<std::string> written;
  uint64_t which = 0;
  std::array<size_t, 4> with_cross_ids{};  // number of cases by machine and axis
  for (const CoderEntry& entry : coder_registry()) {
    for (const uint32_t alphabet : {1u, 2u, 5u, 16u, 200u, 256u, 300u, 65536u}) {
      for (const Kind kind :
           {Kind::kPlain, Kind::kIds, Kind::kTrellis, Kind::kWideIds, Kind::kScaled, Kind::kScaledTrellis}) {
        for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
          ++which;
          const bool scaled = kind == Kind::kScaled || kind == Kind::kScaledTrellis;
          const Shape shape = scaled ? Shape{90, 103} : Shape{40, 43};
          const Data d = make_data(alphabet, kind, shape, axis, which + which / 4);
          Params params(entry.params);
          if (params.has("tables")) params.set("tables", scaled ? "9" : which % 3 == 0 ? "1" : "4");
          const auto coder = entry.fit(params, d.plane, d.symbols.view(), {});
          ByteWriter side;
          coder->save(side);
          if (entry.name == "rans" && side.size() != 0 && side.span()[0] >= 0x80) {
            ++with_cross_ids[(d.plane.contexts != nullptr ? 2 : 0) + (axis == LineAxis::kRows ? 1 : 0)];
          }
          std::string tiles;
          for_each_tile(d.plane, 23, [&](const Rect& at) {
            const Bytes bytes = coder->encode(at, d.symbols.view().sub(at));
            tiles += fmt::format("{}[{}, {}, \"{}\"]", tiles.empty() ? "" : ", ", at.row, at.rows, hex(bytes));
          });
          const FiniteState none;
          const FiniteState& m = d.plane.contexts != nullptr ? *d.plane.contexts : none;
          written.push_back(fmt::format(
              R"({{"coder": "{}", "rows": {}, "cols": {}, "alphabet": {}, "lines": "{}", "table_ids": [{}], "next": [{}],)"
              R"( "context": [{}], "num_contexts": {}, "side": "{}", "tiles": [{}], "symbols": [{}]}})",
              entry.name, shape.rows, shape.cols, alphabet, axis == LineAxis::kRows ? "rows" : "columns",
              fmt::join(d.plane.table_ids, ","), fmt::join(m.next, ","), fmt::join(m.context, ","), m.num_contexts,
              hex(side.span()), tiles, fmt::join(std::span(d.symbols.data(), d.symbols.size()), ",")));
        }
      }
    }
  }
  for (const size_t cases : with_cross_ids) EXPECT_GE(cases, 2u);
  const TempFolder folder;
  const std::string file = (folder / "cases.json").string();
  std::ofstream(file) << fmt::format("[{}]", fmt::join(written, ",\n"));
  const std::string script = (source_folder() / "tests/occ_decode_entropy.py").string();
  EXPECT_EQ(std::system((python + " " + script + " --check " + file).c_str()), 0);
}

// Returns the bits of an adaptive coder that knows only the plane: the entropy given the contexts of the plane.
double adaptive_bits(const SymbolPlane& plane, MatrixView<const Symbol> symbols) {
  const size_t contexts = plane.contexts != nullptr ? plane.contexts->num_contexts : 1;
  std::vector<std::vector<double>> counts(contexts, std::vector<double>(plane.alphabet, 1.0));
  std::vector<double> totals(contexts, plane.alphabet);
  double bits = 0;
  for_each_in_context(plane, 0, symbols, [&](size_t, uint32_t context, Symbol s) {
    bits += std::log2(totals[context]++ / counts[context][s]++);
  });
  return bits;
}

TEST(Contexts, ReachTheCoderThroughThePlane) {
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    SymbolPlane plane = make_plane(1024, 64, 8, axis);
    plane.contexts = trellis_machine();
    const std::vector<std::vector<double>> weights = {geometric_weights(8, 0.4), gaussian_weights(8, 2.0)};
    const Matrix<Symbol> symbols = draw_in_context(plane, weights, 1);
    SymbolPlane blind = plane;
    blind.contexts = nullptr;
    const Rect at{0, 0, plane.rows, plane.cols};
    const double with = adaptive_bits(plane, symbols.view());
    const double without = adaptive_bits(blind, symbols.view());
    EXPECT_LT(with, 0.95 * without);
    for (const auto& [p, expected] : {std::pair{plane, with}, std::pair{blind, without}}) {
      const auto coder = find_coder("rans")->fit(Params(find_coder("rans")->params), p, symbols.view(), {});
      const double real = 8.0 * static_cast<double>(coder->encode(at, symbols.view()).size());
      EXPECT_NEAR(real / expected, 1, 0.006);
    }
  }
}

}  // namespace
}  // namespace occ
