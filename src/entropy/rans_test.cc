// Compares the `rans` coder with theory (the payload is within 0.2 % + 64 bytes of the entropy) and with a slow decoder
// that follows the format, and tests its parts.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "entropy/coder.h"
#include "entropy/planes_for_test.h"
#include "entropy/rans_kernel.h"
#include "entropy/rans_model.h"
#include "hwy/targets.h"

namespace occ {
namespace {

std::unique_ptr<EntropyCoder> fit_rans(const SymbolPlane& plane, MatrixView<const Symbol> symbols, int tables = 1) {
  const CoderEntry& entry = *find_coder("rans");
  Params params(entry.params);
  params.set("tables", std::to_string(tables));
  return entry.fit(params, plane, symbols, {});
}

size_t side_bytes(const EntropyCoder& coder) {
  ByteWriter side;
  coder.save(side);
  return side.size();
}

// Returns the bytes of the payload of all tiles.
size_t coded_bytes(const EntropyCoder& coder, const SymbolPlane& plane, MatrixView<const Symbol> symbols) {
  size_t bytes = 0;
  const size_t rows = tile_rows(plane);
  for (size_t row = 0; row < plane.rows; row += rows) {
    const Rect at{row, 0, std::min(rows, plane.rows - row), plane.cols};
    const Bytes tile = coder.encode(at, symbols.sub(at));
    bytes += tile.size();
    Matrix<Symbol> out(at.rows, at.cols);
    coder.decode(at, tile, out.view());
    for (size_t r = 0; r < at.rows; ++r) {
      EXPECT_TRUE(std::equal(out.row(r), out.row(r) + at.cols, symbols.row(row + r)));
    }
  }
  return bytes;
}

// Returns the ideal code length of a sample under the distribution from which it was drawn.
double source_bits(MatrixView<const Symbol> symbols, const std::vector<double>& weights) {
  double sum = 0, bits = 0;
  for (const double w : weights) sum += w;
  for (size_t r = 0; r < symbols.rows(); ++r) {
    for (size_t c = 0; c < symbols.cols(); ++c) bits += std::log2(sum / weights[symbols(r, c)]);
  }
  return bits;
}

TEST(Rans, PayloadIsNearTheEntropy) {
  constexpr size_t kRows = 512, kCols = 512;  // 2^18 symbols, which is one tile
  std::printf("%28s %9s %9s %9s %7s %6s\n", "source", "alphabet", "entropy B", "payload B", "% over", "side B");
  for (const uint32_t alphabet : {2u, 3u, 5u, 8u, 16u, 17u, 64u, 100u, 255u, 256u, 512u, 1024u, 4096u, 65536u}) {
    std::map<std::string, std::vector<double>> sources = {
        {"gaussian, 4.5 sigma", gaussian_weights(alphabet, 4.5)},
        {"gaussian, 6 sigma", gaussian_weights(alphabet, 6)},
    };
    if (alphabet <= 256) {
      sources["uniform"] = uniform_weights(alphabet);
      sources["geometric 0.5"] = geometric_weights(alphabet, 0.5);
      sources["geometric 0.9"] = geometric_weights(alphabet, 0.9);
      sources["geometric 0.97"] = geometric_weights(alphabet, 0.97);
      for (const double p : {0.9, 0.99, 0.999, 0.9999, 0.99999}) {
        sources[fmt::format("skewed {}", p)] = skewed_weights(alphabet, p);
      }
      std::vector<double> two(alphabet), bimodal(alphabet);
      two[0] = 0.3, two[alphabet - 1] = 0.7;
      for (uint32_t i = 0; i < alphabet; ++i) {
        const double x = (i + 0.5) / alphabet;
        bimodal[i] = std::exp(-200 * (x - 0.25) * (x - 0.25)) + 0.5 * std::exp(-800 * (x - 0.8) * (x - 0.8));
      }
      sources["two symbols"] = two;
      sources["bimodal"] = bimodal;
    }
    for (const auto& [name, weights] : sources) {
      const Matrix<Symbol> symbols = draw_symbols(kRows, kCols, weights, alphabet);
      const SymbolPlane plane = make_plane(kRows, kCols, alphabet);
      const auto coder = fit_rans(plane, symbols.view());
      const double payload = static_cast<double>(coded_bytes(*coder, plane, symbols.view()));
      const double entropy = empirical_entropy(symbols.view(), alphabet) / 8;
      std::printf("%28s %9u %9.0f %9.0f %7.3f %6zu\n", name.c_str(), alphabet, entropy, payload,
                  100 * (payload / std::max(entropy, 1.0) - 1), side_bytes(*coder));
      // The entropy of the sample's own counts is below the code length under the source distribution, which does not
      // know the counts. The difference matters if most counts are small (skewed sources over large alphabets: up to 30
      // bytes here).
      const double limit = std::max(entropy, source_bits(symbols.view(), weights) / 8);
      if (alphabet <= 256) {
        EXPECT_LE(payload, limit * 1.002 + 64) << name << " over " << alphabet;
        EXPECT_LE(payload, entropy * 1.002 + 72) << name << " over " << alphabet;
      } else {
        EXPECT_LE(payload, entropy * 1.01 + 64) << name << " over " << alphabet;
        EXPECT_LE(payload, limit * 1.002 + 64) << name << " over " << alphabet;
      }
      EXPECT_GE(payload, entropy * 0.9999 - 2 * kRansLanes) << "too good to be true";
    }
  }
}

TEST(Rans, TablesAreSmall) {
  const SymbolPlane plane = make_plane(512, 512, 16);
  for (const auto& weights : {uniform_weights(16), gaussian_weights(16, 3.0), geometric_weights(16, 0.7)}) {
    EXPECT_LE(side_bytes(*fit_rans(plane, draw_symbols(512, 512, weights, 1).view())), 36u);
  }
}

TEST(Rans, ConstantTilesCostAByteOrTwo) {
  for (const uint32_t alphabet : {1u, 2u, 16u, 256u, 65536u}) {
    const SymbolPlane plane = make_plane(700, 512, alphabet);
    Matrix<Symbol> symbols(700, 512);
    std::fill_n(symbols.data(), symbols.size(), static_cast<Symbol>(alphabet - 1));
    const auto coder = fit_rans(plane, symbols.view());
    const Bytes bytes = coder->encode({0, 0, 512, 512}, symbols.view().row_range(0, 512));
    EXPECT_EQ(bytes.size(), alphabet == 1 ? 0u : alphabet <= 256 ? 2u : 3u);
    EXPECT_LE(side_bytes(*coder), 15u);
  }
}

// With 8 states and symbols whose statistics depend on the context, the size must follow the conditional entropy.
TEST(Rans, ContextsReachTheConditionalEntropy) {
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    SymbolPlane plane = make_plane(2048, 512, 12, axis);
    plane.contexts = trellis_machine();
    const std::vector<std::vector<double>> weights = {gaussian_weights(12, 4.0), geometric_weights(12, 0.45)};
    const Matrix<Symbol> symbols = draw_in_context(plane, weights, 3);
    std::vector<std::vector<uint64_t>> counts(2, std::vector<uint64_t>(12));
    const size_t tile = tile_rows(plane);
    for (size_t row = 0; row < plane.rows; row += tile) {
      const MatrixView<const Symbol> part = symbols.view().row_range(row, std::min(tile, plane.rows - row));
      for_each_in_context(plane, row, part, [&](size_t, uint32_t context, Symbol s) { ++counts[context][s]; });
    }
    const double conditional = (empirical_entropy(counts[0]) + empirical_entropy(counts[1])) / 8;
    const double order0 = empirical_entropy(symbols.view(), 12) / 8;
    const double tiles = static_cast<double>((plane.rows + tile - 1) / tile);
    const auto coder = fit_rans(plane, symbols.view());
    const double payload = static_cast<double>(coded_bytes(*coder, plane, symbols.view()));
    EXPECT_LE(payload, conditional * 1.002 + 64 * tiles);
    EXPECT_GE(payload, conditional * 0.9999);
    EXPECT_LT(payload, 0.9 * order0);
    std::printf("lines along %s: conditional %.0f B, payload %.0f B (%.3f %%), order 0 %.0f B\n",
                axis == LineAxis::kRows ? "rows" : "columns", conditional, payload, 100 * (payload / conditional - 1),
                order0);
  }
}

TEST(Rans, ClusteredTablesPayOff) {
  for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
    SymbolPlane plane = make_plane(1024, 1024, 32, axis);
    // Lines of four different widths.
    const double reach[] = {2, 4, 8, 16};
    std::vector<Sampler> samplers;
    for (const double r : reach) samplers.emplace_back(gaussian_weights(32, r));
    Rng rng(5);
    Matrix<Symbol> symbols(1024, 1024);
    std::vector<std::vector<uint64_t>> counts(4, std::vector<uint64_t>(32));
    for (size_t line = 0; line < 1024; ++line) {
      const size_t which = random_word(9, line) % 4;
      for (size_t i = 0; i < 1024; ++i) {
        const Symbol s = samplers[which].draw(rng);
        ++counts[which][s];
        (axis == LineAxis::kRows ? symbols(line, i) : symbols(i, line)) = s;
      }
    }
    double ideal = 0;
    for (const auto& c : counts) ideal += empirical_entropy(c) / 8;
    const auto one = fit_rans(plane, symbols.view(), 1);
    const auto four = fit_rans(plane, symbols.view(), 4);
    const size_t one_bytes = coded_bytes(*one, plane, symbols.view());
    const size_t four_bytes = coded_bytes(*four, plane, symbols.view());
    EXPECT_LT(static_cast<double>(four_bytes), ideal * 1.002 + 4 * 64);
    EXPECT_LT(static_cast<double>(four_bytes), 0.9 * static_cast<double>(one_bytes));
    EXPECT_LT(side_bytes(*four), 1024 * 2 / 8 + 4 * 60u);
    // If clusters save no bits, there is one table.
    const Matrix<Symbol> alike = draw_symbols(100, 100, gaussian_weights(32, 4), 2);
    plane.rows = plane.cols = 100;
    EXPECT_LT(side_bytes(*fit_rans(plane, alike.view(), 8)), 40u);
  }
}

// With scales that differ along both axes, ids that add come near the ideal, which knows the scale of every element.
TEST(Rans, ClassesOnBothAxesComeNearTheIdeal) {
  for (const bool machine : {false, true}) {
    for (const LineAxis axis : {LineAxis::kRows, LineAxis::kColumns}) {
      for (const double scale : {0.3, 0.7, 3.0, 12.0}) {
        SymbolPlane plane = make_plane(1200, 1100, machine ? 65536 : 1024, axis);
        if (machine) plane.contexts = trellis_machine();
        double ideal = 0;
        const Matrix<Symbol> symbols = draw_scaled(plane, scale, 0.5, 3, &ideal);
        ideal /= 8;
        const auto one = fit_rans(plane, symbols.view(), 1), many = fit_rans(plane, symbols.view(), 64);
        const auto bytes = [&](const EntropyCoder& coder) {
          return static_cast<double>(coded_bytes(coder, plane, symbols.view()) + side_bytes(coder));
        };
        const double one_bytes = bytes(*one), many_bytes = bytes(*many);
        std::printf("%s %s scale %4.1f: ideal %.3f bits, classes %+.2f %%, side %zu B, one table %+.2f %%\n",
                    machine ? "machine" : "       ", axis == LineAxis::kRows ? "rows   " : "columns", scale,
                    8 * ideal / static_cast<double>(symbols.size()), 100 * (many_bytes / ideal - 1), side_bytes(*many),
                    100 * (one_bytes / ideal - 1));
        EXPECT_LT(many_bytes, (scale < 0.5 ? 1.03 : 1.02) * ideal);
        EXPECT_GT(many_bytes, 0.995 * ideal);
        EXPECT_GT(one_bytes, 1.03 * ideal);
      }
    }
  }
}

// A concentrated source with a few far outliers keeps its rate: the split does not store raw low bits for all symbols.
TEST(Rans, OutliersOfALargeAlphabetAreEscaped) {
  const SymbolPlane plane = make_plane(512, 512, 65536);
  Matrix<Symbol> symbols = draw_symbols(512, 512, gaussian_weights(16, 3), 4);
  for (size_t i = 0; i < symbols.size(); ++i) symbols.data()[i] = static_cast<Symbol>(symbols.data()[i] + 30000);
  for (size_t i = 0; i < 20; ++i) symbols.data()[i * 9999] = static_cast<Symbol>(random_word(1, i));
  const double entropy = empirical_entropy(symbols.view(), 65536) / 8;
  const double payload = static_cast<double>(coded_bytes(*fit_rans(plane, symbols.view()), plane, symbols.view()));
  EXPECT_LE(payload, entropy * 1.003 + 64);
}

// Decodes flat tiles of mode rANS as docs/reference/format.md describes it, one symbol at a time.
Matrix<Symbol> slow_decode(const RansModel& model, ByteSpan bytes, Shape shape) {
  ByteReader in(bytes, "tile");
  EXPECT_EQ(in.get<uint8_t>(), 1);
  const uint64_t escape_bytes = in.get_varint();
  BitReader low(in.get_bytes(packed_bytes(shape.size(), model.split.shift)));
  BitReader states(bytes.subspan(in.at()));
  uint32_t x[16];
  for (uint32_t& state : x) {
    uint32_t n = 0;
    EXPECT_TRUE(states.get(4, n) && states.get(16 + n, state));
    state += 1u << (16 + n);
  }
  in.get_bytes(states.bytes_used());
  BitReader escapes(in.get_bytes(escape_bytes));
  const RansTable& table = model.tables[0];
  Matrix<Symbol> out(shape.rows, shape.cols);
  for (size_t i = 0; i < shape.size(); ++i) {
    uint32_t& state = x[i % 16];
    const uint32_t slot = state % 4096;
    uint32_t id = 0, start = 0;
    while (slot >= start + table.frequency(id)) start += table.frequency(id++);
    state = table.frequency(id) * (state / 4096) + slot - start;
    uint32_t token = id + model.split.offset;
    uint32_t bits = 0;
    if (id == kRansEscape) {
      EXPECT_TRUE(table.read_escape(escapes, token));
    }
    EXPECT_TRUE(low.get(model.split.shift, bits));
    out.data()[i] = static_cast<Symbol>((token << model.split.shift) | (model.split.shift != 0 ? bits : 0));
    // In the format, all lanes of a step take their words before the next step. In a flat run that is the order of the
    // symbols.
    if (state < 65536) state = (state << 16) | in.get<uint16_t>();
  }
  in.expect_done();
  for (const uint32_t state : x) EXPECT_EQ(state, 65536u);
  return out;
}

TEST(Rans, ASlowDecoderReadsTheSameSymbols) {
  for (const uint32_t alphabet : {2u, 7u, 16u, 256u, 300u, 20000u}) {
    for (const Shape shape : {Shape{1, 700}, Shape{40, 41}, Shape{64, 128}}) {
      const SymbolPlane plane = make_plane(shape.rows, shape.cols, alphabet);
      const Matrix<Symbol> symbols = draw_symbols(shape.rows, shape.cols, gaussian_weights(alphabet, 9), alphabet);
      const auto coder = fit_rans(plane, symbols.view());
      ByteWriter side;
      coder->save(side);
      ByteReader reader(side.span(), "side");
      const RansModel model = load_rans_model(plane, reader);
      const Bytes bytes = coder->encode({0, 0, shape.rows, shape.cols}, symbols.view());
      if (bytes[0] != 1) continue;
      const Matrix<Symbol> out = slow_decode(model, bytes, shape);
      EXPECT_TRUE(std::equal(out.data(), out.data() + out.size(), symbols.data())) << alphabet;
    }
  }
}

TEST(Rans, NoFlippedBitGoesUnnoticedWithoutRawBits) {
  // A one-sided distribution, because symbols with the same frequency, as in symmetric tables, could be exchanged
  // unnoticed.
  const SymbolPlane plane = make_plane(100, 100, 16);
  const Matrix<Symbol> symbols = draw_symbols(100, 100, geometric_weights(16, 0.8), 6);
  const auto coder = fit_rans(plane, symbols.view());
  const Rect at{0, 0, 100, 100};
  const Bytes bytes = coder->encode(at, symbols.view());
  ASSERT_EQ(bytes[0], 1);
  ASSERT_EQ(bytes[1], 0) << "escapes";
  Matrix<Symbol> out(100, 100);
  // Only the zero bits that fill up the states carry no information.
  size_t unnoticed = 0;
  for (size_t bit = 8; bit < 8 * bytes.size(); ++bit) {
    Bytes bad = bytes;
    bad[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    try {
      coder->decode(at, bad, out.view());
      ++unnoticed;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
    }
  }
  EXPECT_LE(unnoticed, 7u);
}

TEST(RansKernel, ReciprocalsDivideExactly) {
  Rng rng(1);
  for (uint32_t f = 1; f <= kRansOne; ++f) {
    const uint64_t reciprocal = ((uint64_t{1} << 44) + f - 1) / f;
    const uint64_t limit = uint64_t{f} << 20;
    const auto check = [&](uint64_t x) {
      if (x < limit) {
        ASSERT_EQ((x * reciprocal) >> 44, x / f) << f << ", " << x;
      }
    };
    for (uint64_t k = 0; k < 40; ++k) {
      const uint64_t q = k < 20 ? (uint64_t{1} << 20) - k : rng.below(uint64_t{1} << 20);
      for (const uint64_t x : {q * f, q * f - 1, q * f + 1, q * f + f - 1}) check(x);
    }
    for (int k = 0; k < 20; ++k) check(rng.below(limit));
  }
}

TEST(RansTable, FrequenciesAreOptimalAmongSingleMoves) {
  Rng rng(2);
  for (int trial = 0; trial < 40; ++trial) {
    RansCounts counts{};
    // In half of the trials many tokens are near 1.45 / 4096, where plain rounding fails.
    for (uint32_t i = 0; i < 40; ++i) {
      const double c = 1000 * (trial % 2 == 0 ? std::exp(7 * rng.uniform())
                               : i == 0       ? 4040
                                              : 1.3 + 0.3 * rng.uniform());
      counts[i] = static_cast<uint64_t>(c);
    }
    const RansTable table = RansTable::fit(counts, {40, 0, 0});
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 40; ++i) sum += table.frequency(i);
    if (sum != kRansOne) continue;  // with an escape, another table is optimal
    // The bits that one unit more would save, and that one unit less would cost.
    double most_saved = 0;
    double least_cost = 1e300;
    for (uint32_t i = 0; i < 40; ++i) {
      const double f = table.frequency(i), c = static_cast<double>(counts[i]);
      most_saved = std::max(most_saved, c * std::log2((f + 1) / f));
      if (f > 1) least_cost = std::min(least_cost, c * std::log2(f / (f - 1)));
    }
    EXPECT_LE(most_saved, least_cost * (1 + 1e-6)) << trial;
  }
}

TEST(RansTable, EscapesAreTheTokensWithoutAFrequency) {
  RansCounts counts{};
  for (uint32_t i = 0; i < kRansWindow; i += 3) counts[i] = 1000;
  counts[kRansEscape] = 5;
  const RansSplit split{1000, 0, 200};
  const RansTable table = RansTable::fit(counts, split);
  uint32_t rank = 0;
  for (uint32_t token = 0; token < 1000; ++token) {
    const uint32_t id = split.id(token);
    if (id != kRansEscape && table.frequency(id) != 0) continue;
    BitWriter out;
    table.write_escape(token, out);
    EXPECT_EQ(out.bits(), rank < 1024 - 914 ? 9u : 10u);
    const Bytes bytes = out.take();
    BitReader in(bytes);
    uint32_t again = 0, bits = 0;
    ASSERT_TRUE(table.read_escape(in, again));
    EXPECT_EQ(again, token);
    EXPECT_TRUE(in.used_up());
    // Truncated binary code, computed by hand.
    BitReader raw(bytes);
    ASSERT_TRUE(raw.get(9, bits));
    if (bits >= 110) {
      uint32_t last = 0;
      ASSERT_TRUE(raw.get(1, last));
      bits = 2 * bits + last - 110;
    }
    EXPECT_EQ(bits, rank);
    ++rank;
  }
  EXPECT_EQ(rank, 1000u - 86);
}

}  // namespace
}  // namespace occ
