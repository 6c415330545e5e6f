#include "operators/packed_integers.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/parallel.h"

namespace occ {
namespace {

constexpr size_t kMostCarriedStates = 8;
// What an escape costs in bits: 32 of memory, and the time to add it. Three in a hundred are too many.
constexpr size_t kEscapeCost = 48;
constexpr size_t kEscapesOf = 32;
// Integers beyond are escapes: their deltas still have 18 bits.
constexpr int32_t kReach = 512;

// States in the form that int8_kernels.h describes.
std::vector<uint8_t> state_bytes(const FiniteState& machine) {
  std::vector<uint8_t> bytes;
  unsigned numbers[2] = {};
  for (const uint16_t u : machine.context) bytes.push_back(static_cast<uint8_t>(numbers[u]++ << 2 | u));
  return bytes;
}

using Window = PackedIntegers::Window;

// The codes of one cell: integers, or their halves j where a state holds the lowest bit.
struct CellCodes {
  Matrix<int32_t> codes = Matrix<int32_t>(kCellRows, kCellColumns);
  size_t rows = 0, cols = 0;
  bool halves = false;
  int32_t least = 0, most = 0;

  void load(MatrixView<const int32_t> integers, bool carried) {
    rows = integers.rows();
    cols = integers.cols();
    halves = carried;
    int32_t low = INT32_MAX, high = INT32_MIN;
    const int shift = carried ? 1 : 0;
    for (size_t r = 0; r < rows; ++r) {
      const int32_t* __restrict from = integers.row(r);
      int32_t* __restrict to = codes.row(r);
      for (size_t c = 0; c < cols; ++c) {
        const int32_t code = from[c] >> shift;
        to[c] = code;
        low = std::min(low, code);
        high = std::max(high, code);
      }
    }
    least = low;
    most = high;
  }
  // Whether some of codes [c, end) of a row are outside; without branches, so that it vectorises.
  uint32_t outside(const int32_t* row, size_t c, size_t end, const Window& window) const {
    uint32_t any = 0;
    for (; c < end; ++c) any += static_cast<uint32_t>(row[c] - window.low) >> window.bits != 0 ? 1 : 0;
    return any;
  }
  size_t count_outside(const Window& window) const {
    size_t count = 0;
    for (size_t r = 0; r < rows; ++r) count += outside(codes.row(r), 0, cols, window);
    return count;
  }
};

// The cheapest window by every `step`-th row. It starts at an even code if it must keep the lowest bit of what it
// clamps; no bits at all only for a constant.
Window choose_window(const CellCodes& cell, size_t step, size_t* outside) {
  std::array<uint32_t, 2 * kReach> counts = {};
  size_t total = 0;
  for (size_t r = 0; r < cell.rows; r += step, total += cell.cols) {
    const int32_t* row = cell.codes.row(r);
    for (size_t c = 0; c < cell.cols; ++c) {  // what is beyond the reach counts as its end
      ++counts[static_cast<size_t>(std::clamp(row[c], -kReach, kReach - 1) + kReach)];
    }
  }
  std::array<uint32_t, 2 * kReach + 1> below = {};
  for (size_t i = 0; i < counts.size(); ++i) below[i + 1] = below[i] + counts[i];
  if (cell.least == cell.most && std::abs(cell.least) < kReach && (!cell.halves || cell.least % 2 == 0)) {
    *outside = 0;
    return {cell.least, 0};
  }
  Window best;
  size_t best_cost = SIZE_MAX;
  for (unsigned bits = 1; bits <= (cell.halves ? kMostBits - 1 : kMostBits); ++bits) {
    const size_t width = size_t{1} << bits;
    size_t most = 0, at = kReach;
    for (size_t i = 0; i + width <= counts.size(); i += cell.halves ? 2 : 1) {
      if (below[i + width] - below[i] > most) most = below[i + width] - below[i], at = i;
    }
    const size_t cost = bits * total + (total - most) * kEscapeCost;
    if (cost < best_cost) {
      best_cost = cost;
      best = {static_cast<int32_t>(at) - kReach, bits};
      *outside = total - most;
    }
    if (most == total) break;
  }
  return best;
}

// Some rows tell, unless they turn out to be unlike the others.
Window choose_window(const CellCodes& cell) {
  constexpr size_t kStep = 3;
  size_t outside = 0;
  const Window window = choose_window(cell, kStep, &outside);
  if (cell.count_outside(window) <= 2 * kStep * outside + cell.rows * cell.cols / 1024) return window;
  return choose_window(cell, 1, &outside);
}

}  // namespace

// Eight codes of a word at a time; what a shift moves between bytes the mask takes away.
void pack_row(const uint8_t* codes, unsigned bits, size_t groups, uint8_t* out) {
  constexpr size_t kWords = kGroupColumns / 8;
  unsigned position = 0;
  for (const unsigned w : {8u, 4u, 2u, 1u}) {
    if ((bits & w) == 0) continue;
    const size_t per_byte = 8 / w;
    const uint64_t mask = 0x0101010101010101u * ((1u << w) - 1);
    for (size_t g0 = 0; g0 < groups; g0 += per_byte, out += kGroupColumns) {
      uint64_t words[kWords] = {};
      for (size_t t = 0; t < std::min(per_byte, groups - g0); ++t) {
        uint64_t from[kWords];
        std::memcpy(from, codes + (g0 + t) * kGroupColumns, kGroupColumns);
        for (size_t i = 0; i < kWords; ++i) words[i] |= (from[i] >> position & mask) << (t * w);
      }
      std::memcpy(out, words, kGroupColumns);
    }
    position += w;
  }
}

bool PackedIntegers::can_carry(const FiniteState* machine) {
  if (machine == nullptr || machine->classes != 2 || machine->num_states > kMostCarriedStates) return false;
  size_t counts[2] = {};
  for (const uint16_t u : machine->context) {
    if (u > 1 || ++counts[u] > kMostCarriedStates / 2) return false;
  }
  return true;
}

size_t PackedIntegers::groups(size_t cell) const {
  const size_t columns = std::min(kCellColumns, shape_.cols - cell * kCellColumns);
  return std::max<size_t>(2, std::bit_ceil((columns + kGroupColumns - 1) / kGroupColumns));
}

unsigned PackedIntegers::most(size_t panel, size_t cell) const {
  return (1u << (panels_[panel].cells[cell].bits + (carried() ? 1 : 0))) - 1;
}

std::span<const uint32_t> PackedIntegers::escapes(size_t panel, size_t cell) const {
  const Panel& p = panels_[panel];
  return std::span(p.escapes).subspan(p.cells[cell].first_escape,
                                      p.cells[cell + 1].first_escape - p.cells[cell].first_escape);
}

void PackedIntegers::unpack(size_t panel, size_t cell, size_t first, size_t rows, uint8_t* out) const {
  const Panel& p = panels_[panel];
  const Cell& c = p.cells[cell];
  OCC_CHECK(first + rows <= p.rows && (first == 0 || !carried()));
  const size_t g = groups(cell);
  const uint8_t* data = p.data.data() + c.offset + first * packed_row_bytes(c.bits, g);
  alignas(64) uint8_t states[kCellColumns];
  if (carried()) std::copy_n(p.states.row(cell), kCellColumns, states);
  unpack_cell({data, rows, g, c.bits, carried() ? next_.data() : nullptr}, states, out);
}

// Codes [c, end) of a row that are outside become escapes, and what is nearest inside.
void PackedIntegers::set_aside(const Window& window, size_t r, size_t c, size_t end, int32_t* code,
                               std::vector<uint32_t>* escapes) const {
  const int32_t low = window.low, high = low + (1 << window.bits) - 1;
  for (; c < end; ++c) {
    if (code[c] >= low && code[c] <= high) continue;
    // The lowest bit of a half stays, as it is what moves the state.
    const int32_t odd = code[c] & 1, nearest = code[c] < low ? low + odd : high - 1 + odd;
    const int32_t inside = carried() ? nearest : std::clamp(code[c], low, high);
    const int32_t delta = (code[c] - inside) * (carried() ? 2 : 1);
    code[c] = inside;
    escapes->push_back(static_cast<uint32_t>(r << 26 | c << 18) | (static_cast<uint32_t>(delta) & 0x3ffff));
  }
}

PackedIntegers::Panel PackedIntegers::pack_panel(size_t row, MatrixView<const int32_t> integers, uint32_t alphabet,
                                                 Matrix<uint8_t>& states) const {
  Panel panel;
  panel.row = row;
  panel.rows = integers.rows();
  if (carried()) panel.states = states.clone();
  std::vector<uint8_t> data;
  CellCodes codes;
  Matrix<uint8_t> packed(kCellRows, kCellColumns);  // codes, and then k' to learn the states behind them
  for (size_t cell = 0; cell < cells(); ++cell) {
    const size_t col = cell * kCellColumns, cols = std::min(kCellColumns, shape_.cols - col), g = groups(cell);
    codes.load(integers.sub({0, col, panel.rows, cols}), carried());
    const Window window =
        alphabet == 0 ? choose_window(codes) : Window{0, unsigned(std::bit_width(static_cast<uint32_t>(codes.most)))};
    panel.cells.push_back({static_cast<uint32_t>(data.size()), static_cast<uint32_t>(panel.escapes.size()),
                           carried() ? 2 * window.low : window.low, window.bits});
    const size_t row_bytes = packed_row_bytes(window.bits, g), begin = data.size();
    data.resize(begin + panel.rows * row_bytes);
    for (size_t r = 0; r < panel.rows; ++r) {
      int32_t* code = codes.codes.row(r);
      for (size_t c = 0; c < cols; c += kGroupColumns) {
        const size_t end = std::min(cols, c + kGroupColumns);
        if (codes.outside(code, c, end, window) != 0) set_aside(window, r, c, end, code, &panel.escapes);
      }
      uint8_t* to = packed.row(r);
      for (size_t c = 0; c < cols; ++c) to[c] = static_cast<uint8_t>(code[c] - window.low);
      std::fill(to + cols, to + kCellColumns, uint8_t{0});
      pack_row(to, window.bits, g, data.data() + begin + r * row_bytes);
    }
  }
  panel.cells.push_back({static_cast<uint32_t>(data.size()), static_cast<uint32_t>(panel.escapes.size()), 0, 0});
  panel.escapes.shrink_to_fit();
  panel.data = Matrix<uint8_t>::uninitialized(1, data.size());
  std::copy(data.begin(), data.end(), panel.data.data());
  for (size_t cell = 0; cell < cells() && carried(); ++cell) {
    const Cell& c = panel.cells[cell];
    unpack_cell({panel.data.data() + c.offset, panel.rows, groups(cell), c.bits, next_.data()}, states.row(cell),
                packed.data());
  }
  return panel;
}

std::unique_ptr<PackedIntegers> PackedIntegers::pack(const Source& source) {
  auto out = std::make_unique<PackedIntegers>();
  out->shape_ = source.shape;
  out->tile_rows_ = source.tile_rows;
  out->panels_per_tile_ = ceil_div(source.tile_rows, kCellRows);
  uint8_t first_state = 0;
  if (can_carry(source.machine)) {
    const FiniteState& machine = *source.machine;
    const std::vector<uint8_t> bytes = state_bytes(machine);
    first_state = bytes[0];
    out->next_.assign(16, 0);
    for (size_t s = 0; s < machine.num_states; ++s) {
      for (size_t b = 0; b < 2; ++b) out->next_[bytes[s] | b << 1] = bytes[machine.next[2 * s + b]];
    }
  }
  const size_t rows = source.shape.rows, cols = source.shape.cols;
  if (rows == 0 || cols == 0) return out;
  if (source.alphabet > 1u << kMostBits) return nullptr;
  const size_t tiles = ceil_div(rows, source.tile_rows);
  const size_t last = rows - (tiles - 1) * source.tile_rows;
  out->panels_.resize((tiles - 1) * out->panels_per_tile_ + ceil_div(last, kCellRows));
  const size_t most_escapes = std::max<size_t>(16, source.shape.size() / kEscapesOf);
  std::atomic<size_t> escapes = 0;
  parallel_for(tiles, [&](size_t tile) {
    if (escapes > most_escapes) return;
    const Rect at{tile * source.tile_rows, 0, std::min(source.tile_rows, rows - tile * source.tile_rows), cols};
    Matrix<int32_t> integers = Matrix<int32_t>::uninitialized(at.rows, cols);
    source.read(at, integers.view());
    Matrix<uint8_t> states(out->carried() ? out->cells() : 0, kCellColumns);
    std::fill_n(states.data(), states.size(), first_state);
    for (size_t r = 0; r < at.rows && escapes <= most_escapes; r += kCellRows) {
      const size_t count = std::min(kCellRows, at.rows - r);
      Panel panel = out->pack_panel(at.row + r, MatrixView<const int32_t>(integers.view()).row_range(r, count),
                                    source.alphabet, states);
      escapes += panel.escapes.size();
      out->panels_[tile * out->panels_per_tile_ + r / kCellRows] = std::move(panel);
    }
  });
  return escapes > most_escapes ? nullptr : std::move(out);
}

uint64_t PackedIntegers::resident_bytes() const {
  uint64_t bytes = panels_.size() * sizeof(Panel);
  for (const Panel& p : panels_) {
    bytes += p.data.size() + p.states.size() + p.cells.size() * sizeof(Cell) + p.escapes.size() * sizeof(uint32_t);
  }
  return bytes;
}

double PackedIntegers::mean_bits() const {
  double bits = 0;
  for (const Panel& p : panels_) {
    for (size_t c = 0; c + 1 < p.cells.size(); ++c) {
      bits += static_cast<double>(p.cells[c].bits * p.rows * std::min(kCellColumns, shape_.cols - c * kCellColumns));
    }
  }
  return shape_.size() == 0 ? 0 : bits / static_cast<double>(shape_.size());
}

}  // namespace occ
