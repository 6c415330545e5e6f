#include "operators/packed_integers.h"

#include <algorithm>
#include <atomic>
#include <bit>

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

struct Window {
  int32_t low = 0;
  unsigned bits = 0;
};

// counts [2 * kReach]: of codes from -kReach on. The cheapest window; it starts at an even code if it must keep the
// lowest bit of what it clamps. No bits at all only if `constant`.
Window choose_window(const std::vector<uint32_t>& counts, size_t total, unsigned most_bits, bool even, bool constant) {
  std::vector<uint32_t> below(counts.size() + 1);
  for (size_t i = 0; i < counts.size(); ++i) below[i + 1] = below[i] + counts[i];
  Window best;
  size_t best_cost = SIZE_MAX;
  for (unsigned bits = 0; bits <= most_bits; ++bits) {
    const size_t width = size_t{1} << bits;
    size_t most = 0, at = kReach;
    for (size_t i = 0; i + width <= counts.size(); i += even ? 2 : 1) {
      const size_t inside = below[i + width] - below[i];
      if (inside > most) most = inside, at = i;
    }
    const size_t outside = total - most;
    if (bits == 0 && (outside != 0 || !constant)) continue;
    const size_t cost = bits * total + outside * kEscapeCost;
    if (cost < best_cost) best_cost = cost, best = {static_cast<int32_t>(at) - kReach, bits};
    if (outside == 0) break;
  }
  return best;
}

}  // namespace

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

PackedIntegers::Panel PackedIntegers::pack_panel(size_t row, MatrixView<const int32_t> integers, uint32_t alphabet,
                                                 Matrix<uint8_t>& states) const {
  Panel panel;
  panel.row = row;
  panel.rows = integers.rows();
  if (carried()) panel.states = states.clone();
  const bool halves = carried();
  const unsigned most_bits = halves ? kMostBits - 1 : kMostBits;
  std::vector<uint8_t> data;
  Matrix<int32_t> codes(kCellRows, kCellColumns);
  Matrix<uint8_t> packed(kCellRows, kCellColumns);  // codes, and then k' to learn the states behind them
  std::vector<uint32_t> counts(2 * kReach);
  for (size_t cell = 0; cell < cells(); ++cell) {
    const size_t col = cell * kCellColumns, cols = std::min(kCellColumns, shape_.cols - col), g = groups(cell);
    int32_t least = INT32_MAX, most = INT32_MIN;
    for (size_t r = 0; r < panel.rows; ++r) {
      const int32_t* from = integers.row(r) + col;
      int32_t* to = codes.row(r);
      for (size_t c = 0; c < cols; ++c) {
        to[c] = halves ? from[c] >> 1 : from[c];
        least = std::min(least, to[c]);
        most = std::max(most, to[c]);
      }
    }
    Window window;
    if (alphabet != 0) {
      window.bits = std::bit_width(static_cast<uint32_t>(most));
    } else {
      std::fill(counts.begin(), counts.end(), 0);
      for (size_t r = 0; r < panel.rows; ++r) {
        const int32_t* from = codes.row(r);
        for (size_t c = 0; c < cols; ++c) {  // what is beyond the reach counts as its end
          ++counts[static_cast<size_t>(std::clamp(from[c], -kReach, kReach - 1) + kReach)];
        }
      }
      const bool constant = least == most && least >= -kReach && least < kReach;
      window = choose_window(counts, panel.rows * cols, most_bits, halves, constant);
    }
    const int32_t low = window.low, high = low + (1 << window.bits) - 1;
    panel.cells.push_back({static_cast<uint32_t>(data.size()), static_cast<uint32_t>(panel.escapes.size()),
                           halves ? 2 * low : low, window.bits});
    if (least < low || most > high) {
      for (size_t r = 0; r < panel.rows; ++r) {
        int32_t* code = codes.row(r);
        for (size_t c = 0; c < cols; ++c) {
          if (code[c] >= low && code[c] <= high) continue;
          // The lowest bit stays, as it is what moves the state.
          const int32_t odd = code[c] & 1, nearest = code[c] < low ? low + odd : high - 1 + odd;
          const int32_t inside = halves ? nearest : std::clamp(code[c], low, high);
          const int32_t delta = (code[c] - inside) * (halves ? 2 : 1);
          code[c] = inside;
          panel.escapes.push_back(static_cast<uint32_t>(r << 26 | c << 18) | (static_cast<uint32_t>(delta) & 0x3ffff));
        }
      }
    }
    const size_t row_bytes = packed_row_bytes(window.bits, g), begin = data.size();
    data.resize(begin + panel.rows * row_bytes);
    for (size_t r = 0; r < panel.rows; ++r) {
      const int32_t* code = codes.row(r);
      uint8_t* to = packed.row(r);
      for (size_t c = 0; c < cols; ++c) to[c] = static_cast<uint8_t>(code[c] - low);
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
  std::atomic<bool> unfit = false;
  parallel_for(tiles, [&](size_t tile) {
    if (unfit) return;
    const Rect at{tile * source.tile_rows, 0, std::min(source.tile_rows, rows - tile * source.tile_rows), cols};
    Matrix<int32_t> integers = Matrix<int32_t>::uninitialized(at.rows, cols);
    source.read(at, integers.view());
    Matrix<uint8_t> states(out->carried() ? out->cells() : 0, kCellColumns);
    std::fill_n(states.data(), states.size(), first_state);
    for (size_t r = 0; r < at.rows && !unfit; r += kCellRows) {
      const size_t count = std::min(kCellRows, at.rows - r);
      Panel panel = out->pack_panel(at.row + r, MatrixView<const int32_t>(integers.view()).row_range(r, count),
                                    source.alphabet, states);
      if (panel.escapes.size() > std::max<size_t>(16, count * cols / kEscapesOf)) unfit = true;
      out->panels_[tile * out->panels_per_tile_ + r / kCellRows] = std::move(panel);
    }
  });
  return unfit ? nullptr : std::move(out);
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
