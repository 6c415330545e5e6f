// Measures symbols per second of rANS on one tile of 2^18 or more symbols, for Gaussian sources that are cut at 3
// sigma. Argument: alphabet.
#include <benchmark/benchmark.h>

#include "entropy/coder.h"
#include "entropy/planes_for_test.h"

namespace occ {
namespace {

enum class Tables { kOne, kPerRow, kPerColumn, kTrellisColumns, kTrellisRows };

struct Setup {
  SymbolPlane plane;
  Matrix<Symbol> symbols;
  std::unique_ptr<EntropyCoder> coder;
  Rect at;
  Bytes bytes;
};

Setup make_setup(Tables tables, uint32_t alphabet) {
  Setup s;
  const bool columns = tables == Tables::kPerColumn || tables == Tables::kTrellisColumns;
  s.plane = make_plane(1024, 512, alphabet, columns ? LineAxis::kColumns : LineAxis::kRows);
  if (tables == Tables::kPerRow || tables == Tables::kPerColumn) {
    for (size_t i = 0; i < s.plane.num_lines(); ++i) s.plane.table_ids.push_back(static_cast<uint8_t>(i % 8));
  }
  if (tables == Tables::kTrellisColumns || tables == Tables::kTrellisRows) s.plane.contexts = trellis_machine();
  s.symbols = draw_symbols(1024, 512, gaussian_weights(alphabet, alphabet > 100 ? 4.5 : 3.0), 1);
  s.coder = find_coder("rans")->fit(Params(find_coder("rans")->params), s.plane, s.symbols.view(), {});
  s.at = {0, 0, 1024, 512};
  s.bytes = s.coder->encode(s.at, s.symbols.view());
  return s;
}

void report(benchmark::State& state, const Setup& s) {
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * s.symbols.size()));
  state.counters["bits/symbol"] = 8.0 * static_cast<double>(s.bytes.size()) / static_cast<double>(s.symbols.size());
}

void decode(benchmark::State& state, Tables tables) {
  const Setup s = make_setup(tables, static_cast<uint32_t>(state.range(0)));
  Matrix<Symbol> out(1024, 512);
  for (auto _ : state) s.coder->decode(s.at, s.bytes, out.view());
  report(state, s);
}

void encode(benchmark::State& state, Tables tables) {
  const Setup s = make_setup(tables, static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(s.coder->encode(s.at, s.symbols.view()));
  report(state, s);
}

void fit(benchmark::State& state, Tables tables) {
  const Setup s = make_setup(tables, static_cast<uint32_t>(state.range(0)));
  const CoderEntry& entry = *find_coder("rans");
  const Params params(entry.params);
  for (auto _ : state) benchmark::DoNotOptimize(entry.fit(params, s.plane, s.symbols.view(), {}));
  report(state, s);
}

// Codes a plane 4096 x 4096 whose columns have an 8-state machine with two contexts and whose scales differ along both
// axes. Argument: number of tables. Decoding takes tiles of 1024 rows on one thread; the fit uses all threads.
Setup make_scaled(int tables) {
  Setup s;
  s.plane = make_plane(4096, 4096, 65536, LineAxis::kColumns);
  s.plane.contexts = trellis_machine();
  double ideal = 0;
  s.symbols = draw_scaled(s.plane, 1.5, 0.5, 1, &ideal);
  Params params(find_coder("rans")->params);
  params.set("tables", std::to_string(tables));
  s.coder = find_coder("rans")->fit(params, s.plane, s.symbols.view(), {});
  return s;
}

template <typename Body>
void for_each_tile(const Setup& s, const Body& body) {
  const size_t rows = tile_rows(s.plane);
  for (size_t row = 0; row < s.plane.rows; row += rows) body(Rect{row, 0, rows, s.plane.cols});
}

void scaled_decode(benchmark::State& state) {
  Setup s = make_scaled(static_cast<int>(state.range(0)));
  std::vector<Bytes> tiles;
  for_each_tile(s, [&](const Rect& at) { tiles.push_back(s.coder->encode(at, s.symbols.view().sub(at))); });
  for (const Bytes& tile : tiles) s.bytes.insert(s.bytes.end(), tile.begin(), tile.end());
  Matrix<Symbol> out(4096, 4096);
  for (auto _ : state) {
    size_t i = 0;
    for_each_tile(s, [&](const Rect& at) { s.coder->decode(at, tiles[i++], out.view().sub(at)); });
  }
  report(state, s);
}

void scaled_encode(benchmark::State& state) {
  const Setup s = make_scaled(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    for_each_tile(s, [&](const Rect& at) { benchmark::DoNotOptimize(s.coder->encode(at, s.symbols.view().sub(at))); });
  }
  report(state, s);
}

void scaled_fit(benchmark::State& state) {
  const Setup s = make_scaled(static_cast<int>(state.range(0)));
  Params params(find_coder("rans")->params);
  params.set("tables", std::to_string(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(find_coder("rans")->fit(params, s.plane, s.symbols.view(), {}));
  }
  report(state, s);
}

BENCHMARK(scaled_decode)->Arg(1)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);
BENCHMARK(scaled_encode)->Arg(1)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);
BENCHMARK(scaled_fit)->Arg(1)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);

#define OCC_RANS_BENCH(name, tables)                                                             \
  BENCHMARK_CAPTURE(decode, name, Tables::tables)->Arg(2)->Arg(4)->Arg(16)->Arg(256)->Arg(4096); \
  BENCHMARK_CAPTURE(encode, name, Tables::tables)->Arg(2)->Arg(4)->Arg(16)->Arg(256)->Arg(4096)

OCC_RANS_BENCH(flat, kOne);
OCC_RANS_BENCH(row_tables, kPerRow);
OCC_RANS_BENCH(column_tables, kPerColumn);
OCC_RANS_BENCH(trellis_columns, kTrellisColumns);
OCC_RANS_BENCH(trellis_rows, kTrellisRows);
BENCHMARK_CAPTURE(fit, flat, Tables::kOne)->Arg(16)->Arg(256);
BENCHMARK_CAPTURE(fit, trellis_columns, Tables::kTrellisColumns)->Arg(16);

}  // namespace
}  // namespace occ
