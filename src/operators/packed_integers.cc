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
constexpr size_t kSampledRows = 7;  // one of them is looked at

// States in the form that int8_kernels.h describes.
std::vector<uint8_t> state_bytes(const FiniteState& machine) {
  std::vector<uint8_t> bytes;
  unsigned numbers[2] = {};
  for (const uint16_t u : machine.context) bytes.push_back(static_cast<uint8_t>(numbers[u]++ << 2 | u));
  return bytes;
}

using Window = PackedIntegers::Window;

// The cheapest window by every `step`-th row of a cell of codes + bias. It starts at an even code if it must keep the
// lowest bit of what it clamps; no bits at all only for a constant. *outside: how many codes of these rows are.
template <typename T>
Window choose_window(MatrixView<const T> cell, int32_t bias, bool halves, size_t step, size_t* outside) {
  std::array<uint32_t, 2 * kReach> counts = {};
  int32_t least = INT32_MAX, most_code = INT32_MIN;
  size_t total = 0;
  for (size_t r = 0; r < cell.rows(); r += step, total += cell.cols()) {
    const T* row = cell.row(r);
    for (size_t c = 0; c < cell.cols(); ++c) {  // what is beyond the reach counts as its end
      const int32_t code = static_cast<int32_t>(row[c]) - bias;
      ++counts[static_cast<size_t>(std::clamp(code, -kReach, kReach - 1) + kReach)];
      least = std::min(least, code);
      most_code = std::max(most_code, code);
    }
  }
  if (least == most_code && std::abs(least) < kReach && (!halves || least % 2 == 0)) {
    *outside = 0;
    return {least, 0};
  }
  // Sums of the counts below, from an even code on.
  const auto clamped = [](int32_t code) { return std::clamp(code, -kReach, kReach - 1) + kReach; };
  const size_t first = static_cast<size_t>(clamped(least)) & ~size_t{1};
  const size_t end = static_cast<size_t>(clamped(most_code)) + 1;
  std::array<uint32_t, 2 * kReach + 1> below;
  below[first] = 0;
  for (size_t i = first; i < end; ++i) below[i + 1] = below[i] + counts[i];
  Window best;
  size_t best_cost = SIZE_MAX;
  for (unsigned bits = 1; bits <= (halves ? kMostBits - 1 : kMostBits); ++bits) {
    const size_t width = size_t{1} << bits;
    size_t most = 0, at = first;
    for (size_t i = first; i < end && i + width <= counts.size(); i += halves ? 2 : 1) {
      const size_t inside = below[std::min(i + width, end)] - below[i];
      if (inside > most) most = inside, at = i;
    }
    if (most == 0) continue;  // too wide to start there
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

}  // namespace

// Eight codes of a word at a time; what a shift moves between bytes the mask takes away.
void pack_codes(const uint8_t* codes, unsigned bits, uint8_t* out) {
  constexpr size_t kWords = kGroupColumns / 8;
  unsigned position = 0;
  for (const unsigned w : {8u, 4u, 2u, 1u}) {
    if ((bits & w) == 0) continue;
    const size_t per_byte = 8 / w;
    const uint64_t mask = 0x0101010101010101u * ((1u << w) - 1);
    for (size_t g0 = 0; g0 < kPackedGroups; g0 += per_byte, out += kGroupColumns) {
      uint64_t words[kWords] = {};
      for (size_t t = 0; t < per_byte; ++t) {
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

unsigned PackedIntegers::most(size_t panel, size_t cell) const {
  return (1u << (panels_[panel].cells[cell].bits + (carried() ? 1 : 0))) - 1;
}

std::span<const uint32_t> PackedIntegers::escapes(size_t panel, size_t cell) const {
  const Panel& p = panels_[panel];
  return std::span(p.escapes).subspan(p.cells[cell].first_escape,
                                      p.cells[cell + 1].first_escape - p.cells[cell].first_escape);
}

void PackedIntegers::unpack(size_t panel, size_t cell, size_t rows, uint8_t* out) const {
  const Panel& p = panels_[panel];
  const Cell& c = p.cells[cell];
  OCC_CHECK(rows <= p.rows);
  alignas(64) uint8_t states[kCellColumns];
  if (carried()) std::copy_n(p.states.data() + first_column(cell), groups(cell) * kGroupColumns, states);
  unpack_cell({p.data.data() + c.offset, rows, groups(cell), c.bits, carried() ? next_.data() : nullptr}, states, out);
}

const uint8_t* PackedIntegers::unpack_row(size_t panel, size_t cell, size_t row, uint8_t* buffer) const {
  const Panel& p = panels_[panel];
  OCC_CHECK(row < p.rows);
  if (carried()) {
    unpack(panel, cell, row + 1, buffer);
    return buffer + row * kCellColumns;
  }
  const Cell& c = p.cells[cell];
  const size_t together = rows_together(groups(cell));
  const uint8_t* data = p.data.data() + c.offset + row / together * packed_bytes_of(c.bits);
  unpack_cell({data, together, groups(cell), c.bits, nullptr}, nullptr, buffer);
  return buffer + row % together * kCellColumns;
}

// Packs the panels of one tile, from its first row on. Codes are integers, or their halves j where a state holds the
// lowest bit; what is given are codes + bias.
struct PackedIntegers::Packer {
  const PackedIntegers& all;
  Matrix<uint8_t> states;  // before the next panel
  Matrix<uint8_t> packed;  // of all cells of a panel
  Matrix<uint8_t> bytes = Matrix<uint8_t>(kCellRows, kCellColumns);

  // Packs codes - window.low. What is outside of the window becomes an escape, and what is nearest inside.
  template <typename T>
  void pack_cell(MatrixView<const T> cell, int32_t bias, const Window& window, size_t groups, uint8_t* out,
                 std::vector<uint32_t>* escapes) {
    using Bits = std::make_unsigned_t<T>;
    const auto low = static_cast<Bits>(window.low + bias);
    const size_t together = rows_together(groups), cols = cell.cols();
    for (size_t r = 0; r < cell.rows(); ++r) {
      const T* __restrict row = cell.row(r);
      uint8_t* __restrict to = bytes.data() + r % together * groups * kGroupColumns;
      for (size_t c = 0; c < cols; c += kGroupColumns) {
        const size_t end = std::min(cols, c + kGroupColumns);
        Bits any = 0;
        for (size_t i = c; i < end; ++i) {  // without branches, so that it vectorises
          const auto code = static_cast<Bits>(static_cast<Bits>(row[i]) - low);
          any = static_cast<Bits>(any | code);
          to[i] = static_cast<uint8_t>(code);
        }
        if (any >> window.bits != 0) set_aside(row, bias, window, r, c, end, to, escapes);
      }
      std::fill(to + cols, to + groups * kGroupColumns, uint8_t{0});
      if ((r + 1) % together != 0 && r + 1 != cell.rows()) continue;
      std::fill(to + groups * kGroupColumns, bytes.data() + kCellColumns, uint8_t{0});
      pack_codes(bytes.data(), window.bits, out + r / together * packed_bytes_of(window.bits));
    }
  }

  template <typename T>
  void set_aside(const T* row, int32_t bias, const Window& window, size_t r, size_t c, size_t end, uint8_t* to,
                 std::vector<uint32_t>* escapes) const {
    const int32_t low = window.low, high = low + (1 << window.bits) - 1;
    for (; c < end; ++c) {
      const int32_t code = static_cast<int32_t>(row[c]) - bias;
      if (code >= low && code <= high) continue;
      // The lowest bit of a half stays, as it is what moves the state.
      const int32_t odd = code & 1, nearest = code < low ? low + odd : high - 1 + odd;
      const int32_t inside = all.carried() ? nearest : std::clamp(code, low, high);
      const int32_t delta = (code - inside) * (all.carried() ? 2 : 1);
      to[c] = static_cast<uint8_t>(inside - low);
      escapes->push_back(static_cast<uint32_t>(r << 26 | c << 18) | (static_cast<uint32_t>(delta) & 0x3ffff));
    }
  }

  template <typename T>
  static unsigned bits_of(MatrixView<const T> cell) {
    T most = 0;
    for (size_t r = 0; r < cell.rows(); ++r)
      most = std::max(most, *std::max_element(cell.row(r), cell.row(r) + cell.cols()));
    return static_cast<unsigned>(std::bit_width(static_cast<std::make_unsigned_t<T>>(most)));
  }

  template <typename T>
  Panel pack(size_t row, MatrixView<const T> codes, int32_t bias, uint32_t alphabet) {
    Panel panel;
    panel.row = row;
    panel.rows = codes.rows();
    if (all.carried()) panel.states = states.clone();
    size_t size = 0;
    for (const Place& place : all.places_) {
      const MatrixView<const T> cell = codes.sub({0, place.col, panel.rows, place.cols});
      const size_t escapes = panel.escapes.size();
      Window window;
      // Some rows tell, unless they turn out to be unlike the others.
      for (const size_t step : {kSampledRows, size_t{1}}) {
        size_t outside = 0;
        window = alphabet != 0 ? Window{0, bits_of(cell)} : choose_window(cell, bias, all.carried(), step, &outside);
        panel.escapes.resize(escapes);
        pack_cell(cell, bias, window, place.groups, packed.data() + size, &panel.escapes);
        const size_t likely = window.bits == 0 ? 0 : 2 * step * outside + cell.size() / 1024;
        if (panel.escapes.size() - escapes <= likely) break;
      }
      panel.cells.push_back({static_cast<uint32_t>(size), static_cast<uint32_t>(escapes),
                             all.carried() ? 2 * window.low : window.low, window.bits});
      size += ceil_div(panel.rows, rows_together(place.groups)) * packed_bytes_of(window.bits);
    }
    panel.cells.push_back({static_cast<uint32_t>(size), static_cast<uint32_t>(panel.escapes.size()), 0, 0});
    panel.cells.shrink_to_fit();
    panel.escapes.shrink_to_fit();
    panel.data = Matrix<uint8_t>::uninitialized(1, size);
    std::copy_n(packed.data(), size, panel.data.data());
    for (size_t i = 0; i < all.places_.size() && all.carried(); ++i) {
      const Cell& c = panel.cells[i];
      unpack_cell({panel.data.data() + c.offset, panel.rows, all.groups(i), c.bits, all.next_.data()},
                  states.data() + all.first_column(i), bytes.data());
    }
    return panel;
  }
};

PackedIntegers::Packer PackedIntegers::packer() const {
  const size_t width = places_.back().col + places_.back().groups * kGroupColumns;
  return {*this, Matrix<uint8_t>(carried() ? 1 : 0, width), Matrix<uint8_t>::uninitialized(kCellRows, width)};
}

std::unique_ptr<PackedIntegers> PackedIntegers::pack(const Source& source) {
  auto out = std::make_unique<PackedIntegers>();
  out->shape_ = source.shape;
  out->tile_rows_ = source.tile_rows;
  out->panels_per_tile_ = ceil_div(source.tile_rows, kCellRows);
  uint8_t first_state = 0;
  if (source.machine != nullptr) {
    OCC_CHECK(can_carry(source.machine));
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
  for (size_t col = 0; col < cols; col += out->places_.back().groups * kGroupColumns) {
    const size_t left = ceil_div(std::min(kCellColumns, cols - col), kGroupColumns);
    const size_t groups = left > 6 ? 8 : left > 2 ? 4 : 2;
    out->places_.push_back({col, std::min(groups * kGroupColumns, cols - col), groups});
  }
  const size_t tiles = ceil_div(rows, source.tile_rows);
  const size_t last = rows - (tiles - 1) * source.tile_rows;
  out->panels_.resize((tiles - 1) * out->panels_per_tile_ + ceil_div(last, kCellRows));
  const size_t most_escapes = std::max<size_t>(16, source.shape.size() / kEscapesOf);
  std::atomic<size_t> escapes = 0;
  parallel_for(tiles, [&](size_t tile) {
    if (escapes > most_escapes) return;
    const Rect at{tile * source.tile_rows, 0, std::min(source.tile_rows, rows - tile * source.tile_rows), cols};
    Packer packer = out->packer();
    std::fill_n(packer.states.data(), packer.states.size(), first_state);
    const auto pack = [&](size_t row, auto codes, int32_t bias) {
      if (escapes > most_escapes) return;
      Panel panel = packer.pack(row, codes, bias, source.alphabet);
      escapes += panel.escapes.size();
      out->panels_[out->panel_of(row)] = std::move(panel);
    };
    if (source.read_symbols) {
      source.read_symbols(at, [&](size_t row, MatrixView<const Symbol> s) { pack(row, s, source.bias); });
      return;
    }
    OCC_CHECK(!out->carried());
    Matrix<int32_t> integers = Matrix<int32_t>::uninitialized(at.rows, cols);
    source.read(at, integers.view());
    const MatrixView<const int32_t> all = integers.view();
    for (size_t r = 0; r < at.rows; r += kCellRows) {
      pack(at.row + r, all.row_range(r, std::min(kCellRows, at.rows - r)), 0);
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
      bits += static_cast<double>(p.cells[c].bits * p.rows * places_[c].cols);
    }
  }
  return shape_.size() == 0 ? 0 : bits / static_cast<double>(shape_.size());
}

}  // namespace occ
