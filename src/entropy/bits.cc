// Packing and unpacking of symbols of w bits, 8 at a time in one 128-bit vector: 8 symbols are w whole bytes.
//
// To unpack, a byte shuffle brings the bytes that hold symbol i into lane i. A product with 2^(16 - w - offset) moves
// its bits to the top of the lane and the bits above it out of the lane, and a right shift by 16 - w completes it. If a
// symbol can extend over three bytes (w = 11, 13, 14, 15), the lanes have 32 bits. To pack, shifts join pairs of lanes,
// from 16 to 32 and then to 64 bits.
#include "entropy/bits.h"

#include <algorithm>
#include <array>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "entropy/bits.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"

#ifndef OCC_ENTROPY_BITS_ONCE
#define OCC_ENTROPY_BITS_ONCE
namespace occ {

struct UnpackPlan {
  alignas(16) std::array<uint8_t, 32> shuffle;  // narrow: the first 16 bytes; wide: symbols 0 to 3, then 4 to 7
  alignas(16) std::array<uint16_t, 8> narrow;
  alignas(16) std::array<uint32_t, 8> wide;
};

constexpr bool is_wide(unsigned width) { return width == 11 || width == 13 || width == 14 || width == 15; }

constexpr UnpackPlan make_unpack_plan(unsigned width) {
  UnpackPlan plan{};
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned byte = i * width / 8, offset = i * width % 8;
    const unsigned lane_bytes = is_wide(width) ? 4 : 2;
    for (unsigned j = 0; j < lane_bytes; ++j) {
      plan.shuffle[i * lane_bytes + j] = static_cast<uint8_t>(byte + j < 16 ? byte + j : 15);
    }
    if (is_wide(width)) {
      plan.wide[i] = 1u << (32 - width - offset);
    } else {
      plan.narrow[i] = static_cast<uint16_t>(1u << (16 - width - offset));
    }
  }
  return plan;
}

constexpr std::array<UnpackPlan, 17> make_unpack_plans() {
  std::array<UnpackPlan, 17> plans{};
  for (unsigned width = 1; width <= 16; ++width) plans[width] = make_unpack_plan(width);
  return plans;
}

inline constexpr std::array<UnpackPlan, 17> kUnpackPlans = make_unpack_plans();

// Unpacks one symbol, for the ends of a run.
inline uint32_t unpack_one(const uint8_t* bytes, size_t size, unsigned width, size_t i) {
  const uint64_t bit = uint64_t{i} * width;
  const size_t byte = bit / 8;
  uint32_t window = 0;
  std::memcpy(&window, bytes + byte, std::min<size_t>(size - byte, 4));
  return (window >> (bit % 8)) & ((1u << width) - 1);
}

}  // namespace occ
#endif

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

size_t PackGroups(const Symbol*, size_t, unsigned, uint8_t*, size_t) { return 0; }
size_t UnpackGroups(const uint8_t*, size_t, unsigned, size_t, Symbol*, Symbol*) { return 0; }

#else

using D8 = hn::FixedTag<uint8_t, 16>;
using D16 = hn::FixedTag<uint16_t, 8>;
using D32 = hn::FixedTag<uint32_t, 4>;
using D64 = hn::FixedTag<uint64_t, 2>;

// Packs groups of 8 symbols as long as 16 bytes can be written. Returns the number of packed symbols.
size_t PackGroups(const Symbol* HWY_RESTRICT symbols, size_t count, unsigned width, uint8_t* HWY_RESTRICT out,
                  size_t size) {
  const D16 d16;
  const D32 d32;
  const D64 d64;
  const int w = static_cast<int>(width);
  const auto low16 = hn::Set(d32, 0xffffu);
  const auto low32 = hn::Set(d64, uint64_t{0xffffffff});
  size_t i = 0;
  for (size_t at = 0; i + 8 <= count && at + 16 <= size; i += 8, at += width) {
    const auto v32 = hn::BitCast(d32, hn::LoadU(d16, symbols + i));
    const auto pairs = hn::Or(hn::And(v32, low16), hn::ShiftLeftSame(hn::ShiftRight<16>(v32), w));
    const auto v64 = hn::BitCast(d64, pairs);
    const auto quads = hn::Or(hn::And(v64, low32), hn::ShiftLeftSame(hn::ShiftRight<32>(v64), 2 * w));
    const uint64_t a = hn::GetLane(quads);
    const uint64_t b = hn::GetLane(hn::UpperHalf(hn::Half<D64>(), quads));
    const unsigned shift = 4 * width;
    const uint64_t lo = width == 16 ? a : a | (b << shift);
    std::memcpy(out + at, &lo, 8);
    if (width > 8) {
      const uint64_t hi = b >> (64 - shift);
      std::memcpy(out + at + 8, &hi, 8);
    }
  }
  return i;
}

// Unpacks groups of 8 symbols as long as 16 bytes can be read. Returns the number of unpacked symbols.
size_t UnpackGroups(const uint8_t* HWY_RESTRICT bytes, size_t size, unsigned width, size_t count,
                    Symbol* HWY_RESTRICT out, Symbol* HWY_RESTRICT greatest) {
  const D8 d8;
  const D16 d16;
  const D32 d32;
  const hn::RebindToSigned<D32> di32;
  const UnpackPlan& plan = kUnpackPlans[width];
  auto top = hn::Zero(d16);
  size_t i = 0;
  if (is_wide(width)) {
    const int shift = 32 - static_cast<int>(width);
    const auto shuffle0 = hn::Load(d8, plan.shuffle.data());
    const auto shuffle1 = hn::Load(d8, plan.shuffle.data() + 16);
    const auto factor0 = hn::Load(d32, plan.wide.data());
    const auto factor1 = hn::Load(d32, plan.wide.data() + 4);
    const hn::Half<D16> dh16;
    for (size_t at = 0; i + 8 <= count && at + 16 <= size; i += 8, at += width) {
      const auto b = hn::LoadU(d8, bytes + at);
      const auto v0 = hn::BitCast(d32, hn::TableLookupBytes(b, shuffle0));
      const auto v1 = hn::BitCast(d32, hn::TableLookupBytes(b, shuffle1));
      const auto s0 = hn::ShiftRightSame(hn::Mul(v0, factor0), shift);
      const auto s1 = hn::ShiftRightSame(hn::Mul(v1, factor1), shift);
      const auto s =
          hn::Combine(d16, hn::DemoteTo(dh16, hn::BitCast(di32, s1)), hn::DemoteTo(dh16, hn::BitCast(di32, s0)));
      top = hn::Max(top, s);
      hn::StoreU(s, d16, out + i);
    }
  } else {
    const int shift = 16 - static_cast<int>(width);
    const auto shuffle = hn::Load(d8, plan.shuffle.data());
    const auto factor = hn::Load(d16, plan.narrow.data());
    for (size_t at = 0; i + 8 <= count && at + 16 <= size; i += 8, at += width) {
      const auto v = hn::BitCast(d16, hn::TableLookupBytes(hn::LoadU(d8, bytes + at), shuffle));
      const auto s = hn::ShiftRightSame(hn::Mul(v, factor), shift);
      top = hn::Max(top, s);
      hn::StoreU(s, d16, out + i);
    }
  }
  Symbol lanes[8];
  hn::StoreU(top, d16, lanes);
  for (const Symbol s : lanes) *greatest = std::max(*greatest, s);
  return i;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(PackGroups);
HWY_EXPORT(UnpackGroups);

void pack_symbols(const Symbol* symbols, size_t count, unsigned width, uint8_t* out) noexcept {
  if (width == 0 || count == 0) return;
  if (width == 16) {
    std::memcpy(out, symbols, count * 2);
    return;
  }
  const size_t size = packed_bytes(count, width);
  size_t i = HWY_DYNAMIC_DISPATCH(PackGroups)(symbols, count, width, out, size);
  uint8_t* at = out + i / 8 * width;
  uint64_t pending = 0;
  unsigned have = 0;
  for (; i < count; ++i) {
    pending |= uint64_t{symbols[i]} << have;
    for (have += width; have >= 8; have -= 8, pending >>= 8) *at++ = static_cast<uint8_t>(pending);
  }
  if (have != 0) *at = static_cast<uint8_t>(pending);
}

Symbol unpack_symbols(const uint8_t* bytes, size_t size, unsigned width, size_t first, size_t count,
                      Symbol* out) noexcept {
  if (count == 0) return 0;
  if (width == 0) {
    std::fill_n(out, count, Symbol{0});
    return 0;
  }
  Symbol greatest = 0;
  size_t i = 0;
  const auto scalar_until = [&](size_t end) {
    for (; i < end; ++i) {
      out[i] = static_cast<Symbol>(unpack_one(bytes, size, width, first + i));
      greatest = std::max(greatest, out[i]);
    }
  };
  scalar_until(std::min(count, (8 - first % 8) % 8));
  const size_t at = (first + i) / 8 * width;
  if (i < count) {
    i += HWY_DYNAMIC_DISPATCH(UnpackGroups)(bytes + at, size - at, width, count - i, out + i, &greatest);
  }
  scalar_until(count);
  return greatest;
}

}  // namespace occ
#endif
