// Tests the `rans` coder with ids of lines and of positions: compares every walk with a slow decoder that follows
// docs/reference/format.md, and checks the choices of the fit and the errors for contradictory side information.
#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "entropy/coder.h"
#include "entropy/planes_for_test.h"
#include "entropy/rans_counts.h"
#include "entropy/rans_kernel.h"
#include "entropy/rans_model.h"

namespace occ {
namespace {

// Decodes one symbol at a time. Finds table, machine and ids by the place of the symbol in the plane.
Matrix<Symbol> slow_decode(const RansModel& model, const Rect& at, ByteSpan bytes) {
  const SymbolPlane& plane = model.plane;
  const FiniteState* m = plane.contexts.get();
  ByteReader in(bytes, "tile");
  EXPECT_EQ(in.get<uint8_t>(), 1);
  const uint64_t escape_bytes = in.get_varint();
  const unsigned shift = model.split.shift;
  BitReader low(in.get_bytes(packed_bytes(at.rows * at.cols, shift)));
  BitReader states(bytes.subspan(in.at()));
  uint32_t x[16];
  for (uint32_t& lane : x) {
    uint32_t n = 0;
    EXPECT_TRUE(states.get(4, n) && states.get(16 + n, lane));
    lane += 1u << (16 + n);
  }
  in.get_bytes(states.bytes_used());
  BitReader escapes(in.get_bytes(escape_bytes));

  Matrix<Symbol> out(at.rows, at.cols);
  const bool by_rows = plane.lines == LineAxis::kRows;
  const bool turned = by_rows && m != nullptr;
  const bool flat = model.num_ids == 1 && model.num_cross == 1 && m == nullptr;
  const size_t outer = turned ? at.cols : at.rows, inner = turned ? at.rows : at.cols;
  std::vector<uint32_t> line_states(by_rows ? at.rows : at.cols, 0);
  for (size_t i = 0; i < outer * inner; ++i) {
    const size_t row = turned ? i % inner : i / inner, col = turned ? i / inner : i % inner;
    const size_t line = by_rows ? at.row + row : col, position = by_rows ? col : at.row + row;
    uint32_t& machine = line_states[by_rows ? row : col];
    const uint32_t context = m != nullptr ? m->context[machine] : 0;
    const RansTable& table = model.tables[(model.id(line) + model.cross_id(position)) * model.contexts + context];
    uint32_t& lane = x[(flat ? i : i % inner) % 16];
    const uint32_t slot = lane % 4096;
    uint32_t id = 0, start = 0;
    while (slot >= start + table.frequency(id)) start += table.frequency(id++);
    lane = table.frequency(id) * (lane / 4096) + slot - start;
    if (lane < 65536) lane = (lane << 16) | in.get<uint16_t>();
    uint32_t token = id + model.split.offset, bits = 0;
    if (id == kRansEscape) {
      EXPECT_TRUE(table.read_escape(escapes, token));
    }
    EXPECT_TRUE(low.get(shift, bits));
    out(row, col) = static_cast<Symbol>((token << shift) | (shift != 0 ? bits : 0));
    if (m != nullptr) machine = m->next[machine * m->classes + out(row, col) % m->classes];
  }
  in.expect_done();
  for (const uint32_t lane : x) EXPECT_EQ(lane, 65536u);
  return out;
}

size_t positions(const SymbolPlane& plane) { return plane.lines == LineAxis::kRows ? plane.cols : plane.rows; }

// Tables around the middle of the window, all different, and ids without a pattern, so that a wrong index is noticed.
RansModel make_model(const SymbolPlane& plane, uint32_t num_ids, uint32_t num_cross) {
  RansModel model;
  model.plane = plane;
  model.contexts = plane.contexts != nullptr ? plane.contexts->num_contexts : 1;
  std::vector<uint64_t> histogram(plane.alphabet);
  const auto weights = gaussian_weights(plane.alphabet, 8);
  for (uint32_t s = 0; s < plane.alphabet; ++s) histogram[s] = static_cast<uint64_t>(1e6 * weights[s]);
  model.split = choose_rans_split(histogram, plane.alphabet);
  model.num_ids = num_ids;
  model.num_cross = num_cross;
  for (size_t i = 0; num_ids > 1 && i < plane.num_lines(); ++i) {
    model.ids.push_back(static_cast<uint8_t>(random_word(1, i) % num_ids));
  }
  for (size_t i = 0; num_cross > 1 && i < positions(plane); ++i) {
    model.cross_ids.push_back(static_cast<uint8_t>(random_word(2, i) % num_cross));
  }
  const auto window = gaussian_weights(model.split.window(), 4);
  for (size_t cell = 0; cell < model.num_tables() * model.contexts; ++cell) {
    RansCounts counts{};
    for (uint32_t id = 0; id < model.split.window(); ++id) {
      counts[id] = static_cast<uint64_t>(1e4 * window[id]) + random_word(cell, id) % 30;
    }
    model.tables.push_back(RansTable::fit(counts, model.split));
  }
  return model;
}

Bytes side_of(const RansModel& model) {
  ByteWriter side;
  save_rans_model(model, side);
  return side.take();
}

std::unique_ptr<EntropyCoder> load(const SymbolPlane& plane, ByteSpan side) {
  const CoderEntry& entry = *find_coder("rans");
  ByteReader reader(side, "side");
  auto coder = entry.load(Params(entry.params), plane, reader);
  reader.expect_done();
  return coder;
}

TEST(RansCross, EveryWalkReadsTheTablesOfItsLinesAndPositions) {
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    for (const int machine : {0, 1, 2}) {
      for (const auto& [num_ids, num_cross] : {std::pair{1u, 1u}, {5u, 1u}, {1u, 6u}, {4u, 7u}}) {
        for (const uint32_t alphabet : {40u, 300u, 4000u}) {
          SymbolPlane plane = make_plane(75, 83, alphabet, axis);
          if (machine != 0) plane.contexts = machine == 1 ? trellis_machine() : wide_machine();
          const RansModel model = make_model(plane, num_ids, num_cross);
          const Bytes side = side_of(model);
          EXPECT_EQ((side[0] & 0x80) != 0, num_cross > 1);
          const auto coder = load(plane, side);
          double ideal = 0;
          const Matrix<Symbol> symbols = draw_scaled(plane, alphabet / 16.0, 0.5, 5, &ideal);
          for (const Rect& at : {Rect{0, 0, 75, 83}, Rect{16, 0, 41, 83}}) {
            SCOPED_TRACE(fmt::format("lines {}, machine {}, {} + {} ids, alphabet {}, row {}",
                                     axis == LineAxis::kRows ? "rows" : "columns", machine, num_ids, num_cross,
                                     alphabet, at.row));
            const Bytes bytes = coder->encode(at, symbols.view().sub(at));
            Matrix<Symbol> fast(at.rows, at.cols);
            coder->decode(at, bytes, fast.view());
            ASSERT_EQ(bytes[0], 1);
            const Matrix<Symbol> slow = slow_decode(model, at, bytes);
            for (size_t r = 0; r < at.rows; ++r) {
              for (size_t c = 0; c < at.cols; ++c) {
                ASSERT_EQ(fast(r, c), symbols(at.row + r, c)) << r << ", " << c;
                ASSERT_EQ(slow(r, c), symbols(at.row + r, c)) << r << ", " << c;
              }
            }
          }
        }
      }
    }
  }
}

RansModel fitted(const SymbolPlane& plane, const Matrix<Symbol>& symbols, uint32_t tables) {
  return fit_rans_model(plane, symbols.view(), tables);
}

TEST(RansCross, IdsArePaidForOnBothAxesOnlyWhereTheyPay) {
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    for (const bool machine : {false, true}) {
      SymbolPlane plane = make_plane(400, 300, 256, axis);
      if (machine) plane.contexts = trellis_machine();
      const Sampler narrow(gaussian_weights(256, 60)), wide(gaussian_weights(256, 8));
      // Bit 0 of `which`: rows differ. Bit 1: columns differ.
      for (const unsigned which : {0u, 1u, 2u, 3u}) {
        Matrix<Symbol> symbols(400, 300);
        Rng rng(which);
        for (size_t r = 0; r < 400; ++r) {
          for (size_t c = 0; c < 300; ++c) {
            const bool many = ((which & 1) != 0 && r % 3 == 0) != ((which & 2) != 0 && c % 5 == 0);
            symbols(r, c) = (many ? wide : narrow).draw(rng);
          }
        }
        const RansModel model = fitted(plane, symbols, 16);
        const unsigned lines = axis == LineAxis::kRows ? 1 : 2;
        if (which != 3) {
          EXPECT_EQ(model.num_ids > 1, (which & lines) != 0) << which;
          EXPECT_EQ(model.num_cross > 1, (which & ~lines) != 0) << which;
        }
        EXPECT_LE(model.num_tables(), 16u);
        EXPECT_EQ(model.cells(), model.num_tables() * model.contexts);
      }
    }
  }
}

TEST(RansCross, TablesStayWithinTheLimit) {
  SymbolPlane plane = make_plane(500, 600, 1024, LineAxis::kColumns);
  plane.contexts = trellis_machine();
  double ideal = 0;
  const Matrix<Symbol> symbols = draw_scaled(plane, 4, 1, 8, &ideal);
  double before = 1e300;
  for (const uint32_t limit : {1u, 2u, 3u, 5u, 9u, 17u, 64u}) {
    const RansModel model = fitted(plane, symbols, limit);
    EXPECT_LE(model.num_tables(), limit);
    const Bytes side = side_of(model);
    const Rect at{0, 0, 500, 600};
    const size_t bytes = load(plane, side)->encode(at, symbols.view()).size() + side.size();
    const double bits = 8.0 * static_cast<double>(bytes);
    EXPECT_LE(bits, before * 1.001) << limit;
    before = bits;
  }
  EXPECT_LT(before, 1.03 * ideal);
}

TEST(RansCross, TheFitDoesNotDependOnThreads) {
  SymbolPlane plane = make_plane(700, 1500, 65536, LineAxis::kColumns);
  plane.contexts = trellis_machine();
  double ideal = 0;
  const Matrix<Symbol> symbols = draw_scaled(plane, 1, 0.6, 9, &ideal);
  Bytes first;
  for (const size_t threads : {1, 2, 5}) {
    const ThreadLimit limit(threads);
    const Bytes side = side_of(fitted(plane, symbols, 64));
    EXPECT_GT(side.size(), 1000u);
    if (first.empty()) first = side;
    EXPECT_EQ(side, first) << threads;
  }
}

// Counts must be those of a loop over every symbol, for any blocks. Measured scales must be those that were drawn.
TEST(RansCross, CountsAndScalesAreThoseOfThePlane) {
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    for (const bool machine : {false, true}) {
      for (const size_t classes : {1, 3, 40}) {
        SymbolPlane plane = make_plane(1100, 300, 60, axis);
        if (machine) plane.contexts = wide_machine();
        double ideal = 0;
        const Matrix<Symbol> symbols = draw_scaled(plane, 4, 0.4, 2, &ideal);
        const std::vector<uint64_t> histogram = count_symbols(symbols.view(), 60);
        const RansSplit split = choose_rans_split(histogram, 60);
        const RansBins bins = RansBins::of(histogram, split);
        const RansCounter counter(plane, symbols.view(), split, bins);
        std::vector<uint8_t> of_position;
        for (size_t i = 0; i < positions(plane); ++i) of_position.push_back(random_word(3, i) % classes);
        const size_t contexts = machine ? 5 : 1, line_size = classes * contexts * bins.count;
        std::vector<uint64_t> expected(plane.num_lines() * line_size), found(expected.size());
        std::vector<size_t> position(plane.num_lines());
        for (size_t row = 0; row < plane.rows; row += tile_rows(plane)) {
          const size_t rows = std::min(tile_rows(plane), plane.rows - row);
          for_each_in_context(plane, row, symbols.view().row_range(row, rows), [&](size_t line, uint32_t k, Symbol s) {
            const uint32_t id = split.id(uint32_t{s} >> split.shift);
            const size_t bin = id == kRansEscape ? bins.count - 1 : id - bins.first;
            ++expected[line * line_size + (of_position[position[line]++] * contexts + k) * bins.count + bin];
          });
        }
        counter.for_each_block(of_position, classes, [&](size_t first, size_t lines, const uint32_t* counts) {
          for (size_t i = 0; i < lines * line_size; ++i) found[first * line_size + i] += counts[i];
        });
        EXPECT_EQ(found, expected);
      }
    }
  }
}

TEST(RansCross, ScalesAreRecovered) {
  Rng rng(3);
  std::vector<double> rows, columns;
  for (int i = 0; i < 1500; ++i) rows.push_back(rng.normal());
  for (int i = 0; i < 2100; ++i) columns.push_back(rng.normal());
  Matrix<Symbol> symbols(1500, 2100);
  for (size_t r = 0; r < 1500; ++r) {
    for (size_t c = 0; c < 2100; ++c) {
      const double x = 20000 + 40 * std::exp2(rows[r] + columns[c]) * rng.normal();
      symbols(r, c) = static_cast<Symbol>(std::clamp(x, 0.0, 65535.0));
    }
  }
  const RansScales scales = measure_scales(symbols.view(), 20000, 100);
  const auto expect_same_but_for_a_constant = [](const std::vector<double>& drawn, const std::vector<float>& found) {
    double mean = 0, square = 0;
    for (size_t i = 0; i < drawn.size(); ++i) mean += (found[i] - drawn[i]) / static_cast<double>(drawn.size());
    for (size_t i = 0; i < drawn.size(); ++i) {
      square += std::pow(found[i] - drawn[i] - mean, 2) / static_cast<double>(drawn.size());
    }
    EXPECT_LT(std::sqrt(square), 0.06);  // octaves; with about a thousand samples each, 0.04 is expected
  };
  expect_same_but_for_a_constant(rows, scales.rows);
  expect_same_but_for_a_constant(columns, scales.columns);
}

// A table that no symbol uses takes a single bit.
TEST(RansCross, UnusedTablesCostABit) {
  const SymbolPlane plane = make_plane(20, 20, 40);
  RansModel few = make_model(plane, 2, 2);
  RansModel many = few;
  many.num_cross = 200;
  many.tables.resize(many.num_tables(), many.tables.back());
  const size_t ids = packed_bytes(20, 8) - packed_bytes(20, 1), varint = 1;
  EXPECT_LE(side_of(many).size(), side_of(few).size() + ids + varint + 198 / 8 + 1);
  load(plane, side_of(many));
}

// One outlier in a large alphabet must not change the window or the classes.
TEST(RansCross, CentredAlphabetsWithOutliers) {
  SymbolPlane plane = make_plane(1024, 512, 65536, LineAxis::kColumns);
  plane.contexts = trellis_machine();
  double ideal = 0;
  Matrix<Symbol> symbols = draw_scaled(plane, 2, 0.7, 4, &ideal);
  for (size_t i = 0; i < 40; ++i) symbols.data()[i * 12345] = static_cast<Symbol>(random_word(1, i));
  const RansModel model = fitted(plane, symbols, 64);
  EXPECT_EQ(model.split.shift, 0u);
  EXPECT_LE(model.split.offset, 32768u - 40);
  EXPECT_GE(model.split.offset + 256, 32768u + 40);
  EXPECT_GT(model.num_ids, 3u);
  EXPECT_GT(model.num_cross, 3u);
  const Bytes side = side_of(model);
  const size_t bytes = load(plane, side)->encode({0, 0, 1024, 512}, symbols.view()).size() + side.size();
  EXPECT_LT(8.0 * static_cast<double>(bytes), 1.02 * ideal + 40 * 40);
}

TEST(RansCross, ContradictionsAreInputErrors) {
  const SymbolPlane plane = make_plane(20, 30, 40);
  const Bytes good = side_of(make_model(plane, 3, 5));
  load(plane, good);
  const size_t at = 3;  // place of num_cross
  ASSERT_EQ(good[at], 5);
  const auto expect_error = [&](const SymbolPlane& p, const Bytes& side, const char* why) {
    try {
      load(p, side);
      ADD_FAILURE() << why;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << why;
    }
  };
  for (const uint8_t num : {0, 1, 2, 4}) {
    Bytes bad = good;
    bad[at] = num;
    expect_error(plane, bad, "too few cross ids");
  }
  Bytes bad = good;
  bad[at + 1] = 0xff, bad[at + 2] = 0x7f;
  expect_error(plane, bad, "mirror out of range");
  bad = good;
  bad[0] &= 0x7f;
  expect_error(plane, bad, "flag missing");
  bad = good;
  bad[0] = 0x80 | 9;
  expect_error(plane, bad, "shift too large");
  for (size_t size = 0; size < good.size(); ++size) {
    expect_error(plane, Bytes(good.begin(), good.begin() + static_cast<ptrdiff_t>(size)), "truncated");
  }
  SymbolPlane given = plane;
  given.table_ids.assign(20, 0);
  expect_error(given, side_of(make_model(plane, 1, 5)), "cross ids beside ids of the plane");
  // 255 + 255 ids with 256 contexts are too many tables.
  SymbolPlane many = make_plane(20, 30, 40);
  auto machine = std::make_shared<FiniteState>(*trellis_machine());
  machine->num_contexts = 256;
  many.contexts = machine;
  ByteWriter side;
  side.put<uint8_t>(0x80);
  side.put_varint(0);
  side.put_varint(16);
  side.put_bytes(Bytes(packed_bytes(20, 4)));
  side.put_varint(2);
  side.put_bytes(Bytes(100));
  expect_error(many, side.take(), "too many tables");
}

}  // namespace
}  // namespace occ
