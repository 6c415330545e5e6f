// The coder `rans`: static range asymmetric numeral systems (Duda 2013, arXiv 1311.2540) with 12-bit frequencies, 16
// interleaved states and escapes, within 0.2 % of the entropy. The tables are fitted to the whole plane; tiles are
// independent. docs/reference/format.md has every byte.
//
// A tile is coded row by row. If all symbols share one table, the tile is one run. If there are tables for rows,
// columns or both, every row is a run, and the table of a symbol is the sum of a number of its row and one of its
// column. With state machines down the columns, the context is added to that. With state machines along the rows, the
// transposed tile is coded in this way. The first byte of a tile tells its mode, of which the encoder takes the
// shortest: 0 one symbol with exceptions, 1 rANS, 2 packed bits. rans_bench.cc measures the speed.
#include <algorithm>
#include <array>
#include <bit>
#include <memory>

#include "base/check.h"
#include "entropy/coders.h"
#include "entropy/rans_kernel.h"
#include "entropy/rans_model.h"
#include "entropy/rans_sparse.h"
#include "entropy/tile.h"

namespace occ {
namespace {

enum TileMode : uint8_t { kSparse = 0, kRans = 1, kPacked = 2 };

// Writes the final states of the encoder, with which the decoder begins. Each takes 20 to 35 bits: n in 4 bits, and
// then the 16 + n bits below the leading one.
Bytes write_states(const uint32_t* x) {
  BitWriter out;
  for (size_t lane = 0; lane < kRansLanes; ++lane) {
    const unsigned width = static_cast<unsigned>(std::bit_width(x[lane])) - 1;
    out.put(width - 16, 4);
    out.put(x[lane] - (1u << width), width);
  }
  return out.take();
}

// Reads them. Returns the number of bytes read. Input error if there are not enough bytes.
size_t read_states(ByteSpan bytes, const std::string& what, uint32_t* x) {
  BitReader in(bytes);
  for (size_t lane = 0; lane < kRansLanes; ++lane) {
    uint32_t n = 0, rest = 0;
    if (!in.get(4, n) || !in.get(16 + n, rest)) {
      throw_input("{}: expected {} states, found {} bytes", what, kRansLanes, bytes.size());
    }
    x[lane] = (1u << (16 + n)) + rest;
  }
  return in.bytes_used();
}

class RansCoder final : public EntropyCoder {
 public:
  explicit RansCoder(RansModel model);
  Bytes encode(const Rect& at, MatrixView<const Symbol> symbols) const override;
  void decode(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols) const override;
  void decode_by_rows(const Rect& at, ByteSpan bytes, size_t rows, const SymbolsBody& body) const override;
  void save(ByteWriter& out) const override { save_rans_model(model_, out); }

 private:
  // The order in which the symbols of a tile are coded, and what determines their tables.
  enum class Walk { kFlat, kRows, kColumns, kTransposed };

  // What the rows and the columns of a walk add to the number of the cell, and the state machines of the columns.
  struct Start {
    std::vector<uint32_t> rows;
    std::vector<uint32_t> columns;  // empty: all 0
    std::vector<uint32_t> states;   // state | context << 16; empty: no machine
  };

  // Calls visit(index of the first symbol in the order of the walk, count, symbols, cells of the symbols) for every
  // row.
  template <typename Visit>
  void walk(const Rect& at, MatrixView<const Symbol> symbols, const Visit& visit) const;
  Bytes encode_rans(const Rect& at, MatrixView<const Symbol> symbols) const;
  void decode_rans(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols, const SymbolsBody& body) const;
  bool decode_runs(const Rect& at, RansDecodeState& state, ByteSpan low, MatrixView<Symbol> symbols,
                   const SymbolsBody& body) const;
  void check_symbols(const Rect& at, Symbol greatest) const;
  Start start(const Rect& at, Shape walked) const;
  size_t symbol_bytes() const { return (width_ + 7) / 8; }

  RansModel model_;
  unsigned width_;  // bits of a packed symbol
  Walk walk_;
  std::vector<uint32_t> decode_entries_;         // [cells][4096]
  std::vector<RansEncodeEntry> encode_entries_;  // [cells][257]
  std::vector<uint8_t> escaped_;                 // [cells][257] 1 if the id is coded as an escape
  std::vector<uint32_t> next_;                   // [states][classes] next state | its context << 16
  std::vector<uint8_t> small_next_;              // see RansDecodeState
  unsigned class_bits_ = 0;
};

RansCoder::RansCoder(RansModel model) : model_(std::move(model)), width_(symbol_width(model_.plane.alphabet)) {
  const bool by_columns = model_.plane.lines == LineAxis::kColumns;
  if (model_.plane.contexts != nullptr) {
    walk_ = by_columns ? Walk::kColumns : Walk::kTransposed;
    const FiniteState& m = *model_.plane.contexts;
    class_bits_ = symbol_width(m.classes);
    next_.resize(m.next.size());
    for (size_t i = 0; i < next_.size(); ++i) next_[i] = m.next[i] | uint32_t{m.context[m.next[i]]} << 16;
    if (next_.size() <= 16 && m.num_contexts <= 16) {
      small_next_.assign(16, 0);
      for (size_t i = 0; i < next_.size(); ++i) small_next_[i] = static_cast<uint8_t>(next_[i] | next_[i] >> 12);
    }
  } else if (model_.num_tables() > 1) {
    walk_ = by_columns ? Walk::kColumns : Walk::kRows;
  } else {
    walk_ = Walk::kFlat;
  }
  decode_entries_.resize(model_.cells() * kRansOne);
  encode_entries_.resize(model_.cells() * kRansIds);
  escaped_.resize(model_.cells() * kRansIds);
  for (size_t cell = 0; cell < model_.cells(); ++cell) {
    const RansTable& table = model_.tables[cell];
    fill_decode_entries(table, &decode_entries_[cell * kRansOne]);
    fill_encode_entries(table, &encode_entries_[cell * kRansIds]);
    for (uint32_t id = 0; id < kRansIds; ++id) {
      escaped_[cell * kRansIds + id] = id == kRansEscape || table.frequency(id) == 0;
    }
  }
}

// `walked` is the shape of the tile, transposed if walk_ is kTransposed.
RansCoder::Start RansCoder::start(const Rect& at, Shape walked) const {
  const uint32_t contexts = model_.contexts;
  const auto line_cells = [&](size_t first, size_t count) {
    std::vector<uint32_t> cells(count);
    for (size_t i = 0; i < count; ++i) cells[i] = model_.id(first + i) * contexts;
    return cells;
  };
  const auto cross_cells = [&](size_t first, size_t count) {
    std::vector<uint32_t> cells(count);
    for (size_t i = 0; i < count; ++i) cells[i] = model_.cross_id(first + i) * contexts;
    return cells;
  };
  Start s;
  if (walk_ == Walk::kRows) {
    s.rows = line_cells(at.row, walked.rows);
    if (model_.num_cross > 1) s.columns = cross_cells(0, walked.cols);
  } else {
    const bool turned = walk_ == Walk::kTransposed;
    const bool machine = model_.plane.contexts != nullptr;
    s.rows = cross_cells(turned ? 0 : at.row, walked.rows);
    if (model_.num_ids > 1 || machine) s.columns = line_cells(turned ? at.row : 0, walked.cols);
    if (machine) s.states.assign(walked.cols, uint32_t{model_.plane.contexts->context[0]} << 16);
  }
  return s;
}

// Sets cells[c] = base + columns[c] + context, and advances the machines.
void run_machines(const Symbol* __restrict symbols, size_t count, uint32_t base, const uint32_t* __restrict columns,
                  const uint32_t* __restrict next, unsigned class_bits, uint32_t* __restrict states,
                  uint32_t* __restrict cells) {
  const uint32_t class_mask = (1u << class_bits) - 1;
  const auto run_one = [&](size_t c) {
    const uint32_t state = states[c];
    cells[c] = base + columns[c] + (state >> 16);
    states[c] = next[(size_t{state & 0xffff} << class_bits) + (symbols[c] & class_mask)];
  };
  constexpr size_t kUnrolled = 8;
  size_t c = 0;
  for (; c + kUnrolled <= count; c += kUnrolled) {
    for (size_t k = 0; k < kUnrolled; ++k) run_one(c + k);
  }
  for (; c < count; ++c) run_one(c);
}

// `symbols` are already transposed if walk_ is kTransposed.
template <typename Visit>
void RansCoder::walk(const Rect& at, MatrixView<const Symbol> symbols, const Visit& visit) const {
  const size_t cols = symbols.cols();
  Start s;
  if (walk_ != Walk::kFlat) s = start(at, symbols.shape());
  std::vector<uint32_t> cells(cols);
  for (size_t r = 0; r < symbols.rows(); ++r) {
    const Symbol* row = symbols.row(r);
    const uint32_t base = s.rows.empty() ? 0 : s.rows[r];
    if (!s.states.empty()) {
      run_machines(row, cols, base, s.columns.data(), next_.data(), class_bits_, s.states.data(), cells.data());
    } else if (!s.columns.empty()) {
      for (size_t c = 0; c < cols; ++c) cells[c] = base + s.columns[c];
    } else {
      std::fill(cells.begin(), cells.end(), base);
    }
    visit(r * cols, cols, row, static_cast<const uint32_t*>(cells.data()));
  }
}

// Sets out[i] to the index of the table entry of symbol i.
void find_entries(const Symbol* __restrict symbols, const uint32_t* __restrict cells, size_t count,
                  const RansSplit& split, uint32_t* __restrict out) {
  const uint32_t offset = split.offset;
  const unsigned shift = split.shift;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t id = std::min((uint32_t{symbols[i]} >> shift) - offset, kRansEscape);
    out[i] = cells[i] * kRansIds + id;
  }
}

Bytes RansCoder::encode_rans(const Rect& at, MatrixView<const Symbol> symbols) const {
  const RansSplit split = model_.split;
  const size_t count = symbols.size();
  // The buffers are kept for each thread, because new memory would have to be cleared for every tile.
  thread_local Matrix<uint32_t> ids;
  thread_local Matrix<uint8_t> words;
  if (ids.size() < count) {  // ids is allocated last, so its size tells whether both are there
    words = Matrix<uint8_t>::uninitialized(1, 2 * count + 2);
    ids = Matrix<uint32_t>::uninitialized(1, count);
  }
  std::vector<Symbol> low(split.shift != 0 ? count : 0);
  BitWriter escapes;
  walk(at, symbols, [&](size_t first, size_t n, const Symbol* row, const uint32_t* cells) {
    uint32_t* const row_ids = ids.data() + first;
    find_entries(row, cells, n, split, row_ids);
    const uint8_t* const escaped = escaped_.data();
    for (size_t i = 0; i < n; ++i) {
      if (escaped[row_ids[i]] != 0) [[unlikely]]
        model_.tables[cells[i]].write_escape(uint32_t{row[i]} >> split.shift, escapes);
    }
    for (size_t i = 0; split.shift != 0 && i < n; ++i) {
      low[first + i] = static_cast<Symbol>(row[i] & ((1u << split.shift) - 1));
    }
  });

  alignas(64) std::array<uint32_t, kRansLanes> x;
  x.fill(kRansStart);
  uint8_t* const end = words.data() + words.size();
  uint8_t* first = end;
  const size_t run = walk_ == Walk::kFlat ? count : symbols.cols();
  for (size_t i = count; i > 0; i -= run) {
    first = rans_encode_run(x.data(), encode_entries_.data(), ids.data() + (i - run), run, first);
  }

  ByteWriter out;
  out.put<uint8_t>(kRans);
  const Bytes raw = escapes.take();
  out.put_varint(raw.size());
  Bytes packed(packed_bytes(low.size(), split.shift));
  pack_symbols(low.data(), low.size(), split.shift, packed.data());
  out.put_bytes(packed);
  out.put_bytes(write_states(x.data()));
  out.put_bytes(raw);
  out.put_bytes({first, static_cast<size_t>(end - first)});
  return out.take();
}

Bytes RansCoder::encode(const Rect& at, MatrixView<const Symbol> symbols) const {
  const SymbolPlane& plane = model_.plane;
  check_tile(plane, at, symbols.shape());
  for_each_run(symbols, [&](const Symbol* run, size_t, size_t count) {
    OCC_CHECK(greatest_symbol(run, count) < plane.alphabet);
  });
  if (symbols.size() == 0 || plane.alphabet == 1) return {};
  const size_t packed_size = 1 + packed_bytes(symbols.size(), width_);
  // An exception takes 2 to 5 bytes, and a tile in mode rANS takes at least 42 bytes.
  Bytes best = encode_sparse(symbols, kSparse, symbol_bytes());
  if (!best.empty() && best.size() <= std::min<size_t>(42, packed_size)) return best;
  Bytes coded;
  if (walk_ == Walk::kTransposed) {
    const Matrix<Symbol> t = transposed(symbols);
    coded = encode_rans(at, t.view());
  } else {
    coded = encode_rans(at, symbols);
  }
  if (best.empty() || coded.size() < best.size()) best = std::move(coded);
  if (best.size() <= packed_size) return best;
  best.assign(packed_size, 0);
  best[0] = kPacked;
  for_each_run(symbols, [&](const Symbol* run, size_t first, size_t count) {
    pack_symbols(run, count, width_, best.data() + 1 + packed_bytes(first, width_));
  });
  return best;
}

void RansCoder::decode(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols) const {
  check_tile(model_.plane, at, symbols.shape());
  if (symbols.size() == 0 || model_.plane.alphabet == 1) {
    if (!bytes.empty()) throw_input("{}: expected no bytes, found {}", tile_name(model_.plane, at), bytes.size());
    for (size_t r = 0; r < symbols.rows(); ++r) std::fill_n(symbols.row(r), symbols.cols(), Symbol{0});
    return;
  }
  ByteReader in(bytes, tile_name(model_.plane, at));
  const uint8_t mode = in.get<uint8_t>();
  const ByteSpan body = bytes.subspan(1);
  if (mode == kSparse) return decode_sparse(body, in.what(), model_.plane.alphabet, symbol_bytes(), symbols);
  if (mode != kPacked && mode != kRans) throw_input("{}: expected a tile mode of 0 to 2, found {}", in.what(), mode);
  if (mode == kRans) return decode_rans(at, body, symbols, {});
  const uint64_t expected = packed_bytes(symbols.size(), width_);
  if (body.size() != expected) {
    throw_input("{}: expected {} bytes of packed symbols, found {}", in.what(), expected, body.size());
  }
  Symbol greatest = 0;
  for_each_run(symbols, [&](Symbol* run, size_t first, size_t count) {
    greatest = std::max(greatest, unpack_symbols(body.data(), body.size(), width_, first, count, run));
  });
  check_symbols(at, greatest);
}

void RansCoder::decode_by_rows(const Rect& at, ByteSpan bytes, size_t rows, const SymbolsBody& body) const {
  OCC_CHECK(rows > 0);
  const bool streams = (walk_ == Walk::kRows || walk_ == Walk::kColumns) && !bytes.empty() && bytes[0] == kRans;
  if (!streams || at.rows == 0 || at.cols == 0 || model_.plane.alphabet == 1) {
    return EntropyCoder::decode_by_rows(at, bytes, rows, body);
  }
  Matrix<Symbol> symbols = Matrix<Symbol>::uninitialized(std::min(rows, at.rows), at.cols);
  decode_rans(at, bytes.subspan(1), symbols.view(), body);
}

void RansCoder::check_symbols(const Rect& at, Symbol greatest) const {
  if (greatest < model_.plane.alphabet) return;
  throw_input("{}: expected symbols below {}, found {}", tile_name(model_.plane, at), model_.plane.alphabet, greatest);
}

// `symbols` is the whole tile. If there is a body that receives the symbols, it only needs room for some rows.
void RansCoder::decode_rans(const Rect& at, ByteSpan bytes, MatrixView<Symbol> symbols, const SymbolsBody& body) const {
  ByteReader in(bytes, tile_name(model_.plane, at));
  RansDecodeState state;
  const uint64_t escape_bytes = in.get_varint();
  const ByteSpan low = in.get_bytes(packed_bytes(at.rows * at.cols, model_.split.shift));
  in.get_bytes(read_states(bytes.subspan(in.at()), in.what(), state.x));
  state.raw = BitReader(in.get_bytes(escape_bytes));
  const ByteSpan words = in.get_bytes(in.remaining());
  if (words.size() % 2 != 0) throw_input("{}: expected whole words, found {} bytes", in.what(), words.size());
  state.set_words(words.data(), words.size());
  state.entries = decode_entries_.data();
  state.tables = model_.tables.data();
  state.offset = model_.split.offset;
  state.shift = model_.split.shift;
  state.next = next_.data();
  state.small_next = small_next_.empty() ? nullptr : small_next_.data();
  state.class_bits = class_bits_;
  bool ok = false;
  if (walk_ == Walk::kTransposed) {
    Matrix<Symbol> t = Matrix<Symbol>::uninitialized(symbols.cols(), symbols.rows());
    ok = decode_runs(at, state, low, t.view(), {});
    if (ok) transpose(t.view(), symbols);
  } else {
    ok = decode_runs(at, state, low, symbols, body);
  }
  const auto at_start = [](uint32_t x) { return x == kRansStart; };
  if (!ok || !state.all_used() || !state.raw.used_up() || !std::all_of(state.x, state.x + kRansLanes, at_start)) {
    throw_input("{}: expected a rANS stream that ends with its symbols, found {} bytes that do not", in.what(),
                words.size());
  }
}

// `symbols` is transposed if walk_ is kTransposed. `body` is as in decode_rans.
bool RansCoder::decode_runs(const Rect& at, RansDecodeState& state, ByteSpan low, MatrixView<Symbol> symbols,
                            const SymbolsBody& body) const {
  const unsigned shift = model_.split.shift;
  constexpr size_t kChunk = 1024;
  std::array<Symbol, kChunk> buffer;
  // Makes symbols of tokens, unless a state machine has needed the symbols earlier.
  const auto add_low = [&](Symbol* out, size_t first, size_t count) {
    for (size_t i = 0; shift != 0 && i < count; i += kChunk) {
      const size_t n = std::min(kChunk, count - i);
      unpack_symbols(low.data(), low.size(), shift, first + i, n, buffer.data());
      for (size_t j = 0; j < n; ++j) out[i + j] = static_cast<Symbol>((out[i + j] << shift) | buffer[j]);
    }
  };
  bool ok = true;
  if (walk_ == Walk::kFlat) {
    for_each_run(symbols, [&](Symbol* out, size_t first, size_t count) {
      ok = ok && rans_decode_run(state, {.count = count, .out = out});
      if (ok) {
        add_low(out, first, count);
        if (shift != 0) check_symbols(at, greatest_symbol(out, count));
      } else {
        std::fill_n(out, count, Symbol{0});
      }
    });
    return ok;
  }
  const size_t cols = symbols.cols(), rows = walk_ == Walk::kTransposed ? symbols.rows() : at.rows;
  Start s = start(at, {rows, cols});
  std::vector<Symbol> low_row;
  if (!s.states.empty() && shift != 0) low_row.resize(cols);
  for (size_t r = 0, first = 0; r < rows; ++r) {
    Symbol* out = symbols.row(r - first);
    RansRun run{.count = cols, .out = out, .cell = s.rows[r]};
    if (!s.columns.empty()) run.line_cells = s.columns.data();
    if (!s.states.empty()) run.states = s.states.data();
    if (!low_row.empty()) {
      unpack_symbols(low.data(), low.size(), shift, r * cols, cols, low_row.data());
      run.low = low_row.data();
    }
    if (!rans_decode_run(state, run)) return false;
    if (s.states.empty()) add_low(out, r * cols, cols);
    const size_t done = r + 1 - first;
    if (done != symbols.rows() && r + 1 != rows) continue;
    // Tokens are valid by construction, but together with their low bits the symbols may be beyond the alphabet.
    for (size_t i = 0; i < done && shift != 0; ++i) check_symbols(at, greatest_symbol(symbols.row(i), cols));
    if (body) body(first, symbols.row_range(0, done));
    first = r + 1;
  }
  return true;
}

constexpr ParamSpec kParams[] = {
    int_param("tables", "1", 1, 64, "frequency tables at most that rows and columns may be given"),
};

std::unique_ptr<EntropyCoder> fit(const Params& params, const SymbolPlane& plane, MatrixView<const Symbol> symbols,
                                  const FitContext&) {
  const auto tables = static_cast<uint32_t>(params.integer("tables"));
  return std::make_unique<RansCoder>(fit_rans_model(plane, symbols, tables));
}

std::unique_ptr<EntropyCoder> load(const Params&, const SymbolPlane& plane, ByteReader& side) {
  return std::make_unique<RansCoder>(load_rans_model(plane, side));
}

// The most bytes are those of a packed tile and its mode.
uint64_t most_bytes(const Params&, const SymbolPlane& plane, size_t rows) {
  return 1 + packed_bytes(uint64_t{rows} * plane.cols, symbol_width(plane.alphabet));
}

}  // namespace

CoderEntry rans_coder() {
  return {.name = "rans",
          .summary = "range ANS: close to the entropy under fitted tables, per line or context",
          .params = kParams,
          .fit = fit,
          .load = load,
          .most_bytes = most_bytes,
          .most_table_bytes = 512};  // bytes of a table with 256 tokens
}

}  // namespace occ
