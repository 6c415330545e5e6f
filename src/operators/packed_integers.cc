#include "operators/packed_integers.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/parallel.h"
#include "quantization/trellis_code.h"

namespace occ {
namespace {

// What an escape costs in bits: 32 of memory, and the time to add it. Three in a hundred are too many.
constexpr size_t kEscapeCost = 100;
constexpr size_t kEscapesOf = 32;
// Integers beyond are escapes.
constexpr int32_t kReach = 512;
constexpr size_t kSampledRows = 7;     // one of them is looked at
constexpr int32_t kMostDelta = 65535;  // of one escape

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

bool PackedIntegers::can_carry(const FiniteState* machine) {
  if (machine == nullptr || machine->classes != 2) return false;
  for (const TrellisCode& code : kTrellisCodes) {
    if (code.states != machine->num_states) continue;
    for (uint32_t s = 0; s < code.states; ++s) {
      if (machine->context[s] != (s & 1)) return false;
      for (uint32_t b = 0; b < 2; ++b) {
        if (machine->next[2 * s + b] != code.next(s, b)) return false;
      }
    }
    return true;
  }
  return false;
}

size_t PackedIntegers::strip_of(size_t col) const {
  size_t strip = std::min(col / kStripColumns, strips() - 1);
  while (col >= first_column(strip) + width(strip)) ++strip;
  return strip;
}

Strip PackedIntegers::strip(size_t panel, size_t strip) const {
  const Panel& p = panels_[panel];
  const StripHead& head = p.strips[strip];
  return {data_.data() + p.offset + head.offset, p.rows, places_[strip].chains, head.bits, state_planes_};
}

std::span<const uint32_t> PackedIntegers::escapes(size_t panel, size_t strip) const {
  const Panel& p = panels_[panel];
  return std::span(p.escapes).subspan(p.strips[strip].first_escape,
                                      p.strips[strip + 1].first_escape - p.strips[strip].first_escape);
}

const uint8_t* PackedIntegers::unpack_row(size_t panel, size_t strip, size_t row, uint8_t* buffer) const {
  const Strip s = this->strip(panel, strip);
  OCC_CHECK(row < s.rows);
  const size_t step = row % s.steps();
  alignas(64) uint8_t states[kMostStatePlanes * kLineBytes];
  std::copy_n(s.data, s.state_planes * kLineBytes, states);
  if (carried()) walk_states(s, step, states, nullptr);
  unpack_step(s, step, states, buffer);
  return buffer + row / s.steps() * s.width();
}

// Packs the panels of one tile, from its first row on. Codes are integers, or their halves j where a state holds the
// lowest bit; what is given are codes + bias.
struct PackedIntegers::Packer {
  explicit Packer(const PackedIntegers& packed_integers)
      : all(packed_integers),
        states(all.strips(), all.state_planes_ * kLineBytes),
        packed(Matrix<uint8_t>::uninitialized(all.strips(), (all.state_planes_ + kMostBits * kPanelRows) * kLineBytes)),
        lanes(Matrix<uint8_t>::uninitialized(kPanelRows, kStripColumns)) {}

  const PackedIntegers& all;
  Matrix<uint8_t> states;  // before the next panel, by strip, in the lanes of the first chain
  Matrix<uint8_t> packed;  // all strips of a panel
  Matrix<uint8_t> lanes;   // the codes of a strip, by step

  // Packs codes - window.low behind the states. What is outside of the window becomes an escape, and what is nearest
  // inside.
  template <typename T>
  void pack_codes(MatrixView<const T> codes, int32_t bias, const Window& window, const Strip& strip, uint8_t* out,
                  std::vector<uint32_t>* escapes) {
    using Bits = std::make_unsigned_t<T>;
    const auto low = static_cast<Bits>(window.low + bias);
    const size_t cols = codes.cols(), width = strip.width(), steps = strip.steps();
    if (cols < width || strip.chains > 1) std::fill_n(lanes.data(), steps * kStripColumns, uint8_t{0});
    for (size_t r = 0; r < codes.rows(); ++r) {
      const T* __restrict row = codes.row(r);
      uint8_t* __restrict to = lanes.row(r % steps) + r / steps * width;
      for (size_t c = 0; c < cols; c += kLineBytes) {
        const size_t end = std::min(cols, c + kLineBytes);
        Bits any = 0;
        for (size_t i = c; i < end; ++i) {  // without branches, so that it vectorises
          const auto code = static_cast<Bits>(static_cast<Bits>(row[i]) - low);
          any = static_cast<Bits>(any | code);
          to[i] = static_cast<uint8_t>(code);
        }
        if (any >> window.bits != 0) set_aside(row, bias, window, r, c, end, to, escapes);
      }
    }
    for (size_t t = 0; t < steps; ++t) {
      pack_step(lanes.row(t), window.bits, all.carried(), out + (all.state_planes_ + t * window.bits) * kLineBytes);
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
      to[c] = static_cast<uint8_t>(inside - low);
      for (int32_t delta = (code - inside) * (all.carried() ? 2 : 1); delta != 0;) {
        const int32_t part = std::clamp(delta, -kMostDelta, kMostDelta);
        escapes->push_back(static_cast<uint32_t>(c << 23 | r << 17) | (static_cast<uint32_t>(part) & 0x1ffff));
        delta -= part;
      }
    }
  }

  template <typename T>
  static unsigned bits_of(MatrixView<const T> codes) {
    T most = 0;
    for (size_t r = 0; r < codes.rows(); ++r)
      most = std::max(most, *std::max_element(codes.row(r), codes.row(r) + codes.cols()));
    return static_cast<unsigned>(std::bit_width(static_cast<std::make_unsigned_t<T>>(most)));
  }

  // Writes the states of a strip in front of its codes, and leaves those of the next panel. A chain begins where the
  // one before it ends, which is one walk more.
  void pack_states(const Strip& strip, uint8_t* next, uint8_t* out) {
    const size_t size = strip.state_planes * kLineBytes;
    const unsigned shift = static_cast<unsigned>(kGroups) / strip.chains;  // from a chain to the next
    const auto chain_mask = static_cast<uint8_t>((1u << shift) - 1);
    alignas(64) uint8_t end[kMostStatePlanes * kLineBytes];
    std::copy_n(next, size, out);
    for (unsigned chain = 0; chain < strip.chains; ++chain) {
      std::copy_n(out, size, end);
      walk_states(strip, strip.steps(), end, nullptr);
      const bool last = chain + 1 == strip.chains;
      for (size_t i = 0; i < size; ++i) {
        const auto states_of_chain = static_cast<uint8_t>(end[i] >> chain * shift & chain_mask);
        if (last) next[i] = states_of_chain;
        if (!last) out[i] |= static_cast<uint8_t>(states_of_chain << (chain + 1) * shift);
      }
    }
  }

  template <typename T>
  Panel pack(size_t row, MatrixView<const T> codes, int32_t bias, uint32_t alphabet) {
    Panel panel;
    panel.row = row;
    panel.rows = codes.rows();
    size_t size = 0;
    for (size_t i = 0; i < all.strips(); ++i) {
      const Place& place = all.places_[i];
      const MatrixView<const T> part = codes.sub({0, place.col, panel.rows, place.cols});
      const size_t escapes = panel.escapes.size();
      uint8_t* out = packed.data() + size;
      Strip strip{out, panel.rows, place.chains, 0, all.state_planes_};
      Window window;
      // Some rows tell, unless they turn out to be unlike the others.
      for (const size_t step : {kSampledRows, size_t{1}}) {
        size_t outside = 0;
        window = alphabet != 0 ? Window{0, bits_of(part)} : choose_window(part, bias, all.carried(), step, &outside);
        panel.escapes.resize(escapes);
        pack_codes(part, bias, window, strip, out, &panel.escapes);
        const size_t likely = window.bits == 0 ? 0 : 2 * step * outside + part.size() / 1024;
        if (panel.escapes.size() - escapes <= likely) break;
      }
      strip.bits = window.bits;
      if (all.carried()) pack_states(strip, states.row(i), out);
      std::sort(panel.escapes.begin() + static_cast<ptrdiff_t>(escapes), panel.escapes.end());
      panel.strips.push_back({static_cast<uint32_t>(size), static_cast<uint32_t>(escapes),
                              all.carried() ? 2 * window.low : window.low, window.bits});
      size += strip.bytes();
    }
    panel.strips.push_back({static_cast<uint32_t>(size), static_cast<uint32_t>(panel.escapes.size()), 0, 0});
    panel.strips.shrink_to_fit();
    panel.escapes.shrink_to_fit();
    panel.data = Matrix<uint8_t>::uninitialized(1, size);
    std::copy_n(packed.data(), size, panel.data.data());
    return panel;
  }
};

std::unique_ptr<PackedIntegers> PackedIntegers::pack(const Source& source) {
  auto out = std::make_unique<PackedIntegers>();
  out->shape_ = source.shape;
  out->tile_rows_ = source.tile_rows;
  out->panels_per_tile_ = ceil_div(source.tile_rows, kPanelRows);
  if (source.machine != nullptr) {
    OCC_CHECK(can_carry(source.machine));
    out->state_planes_ = static_cast<unsigned>(std::bit_width(source.machine->num_states)) - 1;
  }
  const size_t rows = source.shape.rows, cols = source.shape.cols;
  if (rows == 0 || cols == 0) return out;
  if (source.alphabet > 1u << kMostBits) return nullptr;
  for (size_t col = 0; col < cols;) {
    const size_t left = ceil_div(cols - col, kLineBytes) * kLineBytes;
    const size_t width = std::min(kStripColumns, std::bit_floor(left));
    out->places_.push_back({col, std::min(width, cols - col), static_cast<unsigned>(kStripColumns / width)});
    col += width;
  }
  const size_t tiles = ceil_div(rows, source.tile_rows);
  const size_t last = rows - (tiles - 1) * source.tile_rows;
  out->panels_.resize((tiles - 1) * out->panels_per_tile_ + ceil_div(last, kPanelRows));
  const size_t most_escapes = std::max<size_t>(16, source.shape.size() / kEscapesOf);
  std::atomic<size_t> escapes = 0;
  parallel_for(tiles, [&](size_t tile) {
    if (escapes > most_escapes) return;
    const Rect at{tile * source.tile_rows, 0, std::min(source.tile_rows, rows - tile * source.tile_rows), cols};
    Packer packer(*out);
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
    for (size_t r = 0; r < at.rows; r += kPanelRows) {
      pack(at.row + r, all.row_range(r, std::min(kPanelRows, at.rows - r)), 0);
    }
  });
  if (escapes > most_escapes) return nullptr;
  out->join_panels();
  return out;
}

// One piece of memory, in large pages where the system has them: with pages of 4 KB a core reads a fifth slower.
void PackedIntegers::join_panels() {
  size_t size = 0;
  for (Panel& p : panels_) {
    p.offset = size;
    size += p.data.size();
  }
  data_ = Matrix<uint8_t>::uninitialized(1, size);
#if defined(MADV_HUGEPAGE)
  constexpr uintptr_t kPage = 1 << 21;
  const auto begin = (reinterpret_cast<uintptr_t>(data_.data()) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data_.data()) + size) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: may fail
#endif
  parallel_for(panels_.size(), [&](size_t i) {
    Panel& p = panels_[i];
    std::copy_n(p.data.data(), p.data.size(), data_.data() + p.offset);
    p.data = {};
  });
}

uint64_t PackedIntegers::resident_bytes() const {
  uint64_t bytes = panels_.size() * sizeof(Panel) + data_.size();
  for (const Panel& p : panels_) {
    bytes += p.strips.size() * sizeof(StripHead) + p.escapes.size() * sizeof(uint32_t);
  }
  return bytes;
}

double PackedIntegers::mean_bits() const {
  double bits = 0;
  for (const Panel& p : panels_) {
    for (size_t i = 0; i + 1 < p.strips.size(); ++i) {
      bits += static_cast<double>(p.strips[i].bits * p.rows * places_[i].cols);
    }
  }
  return shape_.size() == 0 ? 0 : bits / static_cast<double>(shape_.size());
}

}  // namespace occ
