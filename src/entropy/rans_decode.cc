// The decoding loop. The 16 lanes are processed in vectors of 4 or 8. One gather per vector reads the table entries,
// and a byte shuffle brings words to the lanes that need one. Small state machines advance by a byte shuffle as well,
// others by a second gather. Partial steps, and targets without vectors of a fixed size, work lane by lane.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "entropy/rans_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "entropy/rans_decode.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"

#ifndef OCC_ENTROPY_RANS_DECODE_ONCE
#define OCC_ENTROPY_RANS_DECODE_ONCE
namespace occ {

// Row m moves the next words to the set bits of m, in order, and zeros to all other places.
constexpr std::array<std::array<uint8_t, 16>, 256> make_spread() {
  std::array<std::array<uint8_t, 16>, 256> rows{};
  for (unsigned mask = 0; mask < 256; ++mask) {
    uint8_t next = 0;
    for (unsigned lane = 0; lane < 8; ++lane) {
      const bool takes = (mask >> lane) & 1;
      rows[mask][2 * lane] = takes ? next++ : 0x80;
      rows[mask][2 * lane + 1] = takes ? next++ : 0x80;
    }
  }
  return rows;
}
alignas(64) inline constexpr std::array<std::array<uint8_t, 16>, 256> kSpread = make_spread();

constexpr uint32_t kSlotMask = kRansOne - 1;

inline uint32_t rans_cell(const RansRun& run, size_t i) {
  const uint32_t base = run.cell + (run.line_cells != nullptr ? run.line_cells[i] : 0);
  return run.states != nullptr ? base + (run.states[i] >> 16) : base;
}

// Reads the rank of an escape and sets out[i] to its token.
inline bool resolve_escape(RansDecodeState& s, const RansRun& run, size_t i) {
  uint32_t token = 0;
  const bool ok = s.tables[rans_cell(run, i)].read_escape(s.raw, token);
  run.out[i] = static_cast<Symbol>(token);
  return ok;
}

// Adds the low bits to token i and advances the machine of column i.
inline void advance_state(const RansDecodeState& s, const RansRun& run, size_t i) {
  const uint32_t low = run.low != nullptr ? run.low[i] : 0;
  const uint32_t symbol = (uint32_t{run.out[i]} << s.shift) | low;
  run.out[i] = static_cast<Symbol>(symbol);
  const uint32_t state = run.states[i] & 0xffff;
  run.states[i] = s.next[(state << s.class_bits) + (symbol & ((1u << s.class_bits) - 1))];
}

// Decodes at most 16 symbols [first, end) of a run. `first` is a multiple of 16.
inline bool rans_decode_lanes(RansDecodeState& s, const RansRun& run, size_t first, size_t end) {
  if (s.at > s.limit && !s.enter_tail()) return false;
  for (size_t i = first; i < end; ++i) {
    uint32_t x = s.x[i - first];
    const uint32_t e = s.entries[rans_cell(run, i) * size_t{kRansOne} + (x & kSlotMask)];
    const bool escape = ((e & ~(e << 12)) >> 31) != 0;
    x = (((e >> 8) & kSlotMask) + 1) * (x >> kRansProbBits) + (e >> 20) - (escape ? 0x800 : 0);
    if (x < kRansStart) {
      uint16_t word;
      std::memcpy(&word, s.at, 2);
      s.at += 2;
      x = (x << 16) | word;
    }
    s.x[i - first] = x;
    run.out[i] = static_cast<Symbol>((e & 0xff) + s.offset);
    if (escape && !resolve_escape(s, run, i)) return false;
    if (run.states != nullptr) advance_state(s, run, i);
  }
  return true;
}

}  // namespace occ
#endif

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

bool DecodeRun(RansDecodeState& s, const RansRun& run) {
  for (size_t i = 0; i < run.count; i += kRansLanes) {
    if (!rans_decode_lanes(s, run, i, std::min(run.count, i + kRansLanes))) return false;
  }
  return true;
}

#else

enum class Machine { kNone, kAny, kSmall };

template <bool kPerLane, Machine kMachine>
bool DecodeSteps(RansDecodeState& s, const RansRun& run) {
  const hn::CappedTag<uint32_t, 8> d;
  using D = decltype(d);
  constexpr size_t kN = hn::MaxLanes(D());
  constexpr size_t kVectors = kRansLanes / kN;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint16_t, D> d16;
  const hn::Repartition<uint8_t, decltype(d16)> d8;
  using V = hn::Vec<D>;

  const V slot_mask = hn::Set(d, kSlotMask);
  const V byte_mask = hn::Set(d, 0xffu);
  const V one = hn::Set(d, 1u);
  const V zero = hn::Zero(d);
  const V offset = hn::Set(d, s.offset);
  const V class_mask = hn::Set(d, (1u << s.class_bits) - 1);
  const V state_mask = hn::Set(d, 0xffffu);
  const hn::Repartition<uint8_t, D> db;
  auto small_next = hn::Zero(db);
  if constexpr (kMachine == Machine::kSmall) small_next = hn::LoadDup128(db, s.small_next);
  const V first_byte = hn::Set(d, 0x80808000u);  // a shuffle index that gives zero for all other bytes
  const int class_bits = static_cast<int>(s.class_bits);
  const int shift = static_cast<int>(s.shift);
  const uint32_t* const HWY_RESTRICT entries = s.entries + run.cell * size_t{kRansOne};

  V x[kVectors], e[kVectors];
  for (size_t v = 0; v < kVectors; ++v) x[v] = hn::Load(d, s.x + v * kN);
  const uint8_t* at = s.at;
  const uint8_t* limit = s.limit;
  const size_t whole = run.count / kRansLanes * kRansLanes;
  for (size_t i = 0; i < whole; i += kRansLanes) {
    if (HWY_UNLIKELY(at > limit)) {
      s.at = at;
      if (!s.enter_tail()) return false;
      at = s.at;
      limit = s.limit;
    }
    V flags = zero;
    for (size_t v = 0; v < kVectors; ++v) {
      V index = hn::And(x[v], slot_mask);
      if constexpr (kPerLane) {
        V cell = hn::LoadU(d, run.line_cells + i + v * kN);
        if constexpr (kMachine != Machine::kNone)
          cell = hn::Add(cell, hn::ShiftRight<16>(hn::LoadU(d, run.states + i + v * kN)));
        index = hn::Add(index, hn::ShiftLeft<kRansProbBits>(cell));
      }
      e[v] = hn::GatherIndex(d, entries, hn::BitCast(di, index));
      flags = hn::Or(flags, hn::AndNot(hn::ShiftLeft<12>(e[v]), e[v]));
    }
    for (size_t v = 0; v < kVectors; ++v) {
      const V f = hn::Add(hn::And(hn::ShiftRight<8>(e[v]), slot_mask), one);
      x[v] = hn::Add(hn::Mul(f, hn::ShiftRight<kRansProbBits>(x[v])), hn::ShiftRight<20>(e[v]));
    }
    uint32_t escapes = 0;
    if (HWY_UNLIKELY(!hn::AllFalse(di, hn::Lt(hn::BitCast(di, flags), hn::Zero(di))))) {
      for (size_t v = 0; v < kVectors; ++v) {
        const V flag = hn::And(hn::AndNot(hn::ShiftLeft<12>(e[v]), e[v]), hn::Set(d, 0x80000000u));
        x[v] = hn::Sub(x[v], hn::ShiftRight<20>(flag));
        uint8_t bits[8];
        hn::StoreMaskBits(d, hn::Ne(flag, zero), bits);
        escapes |= uint32_t{bits[0]} << (v * kN);
      }
    }
    for (size_t v = 0; v < kVectors; ++v) {
      const auto takes = hn::Eq(hn::ShiftRight<16>(x[v]), zero);
      uint8_t bits[8];
      hn::StoreMaskBits(d, takes, bits);
      const auto spread = hn::LoadU(d8, kSpread[bits[0]].data());
      const V words = hn::PromoteTo(d, hn::BitCast(d16, hn::TableLookupBytesOr0(hn::LoadU(d8, at), spread)));
      x[v] = hn::Or(hn::IfThenElse(takes, hn::ShiftLeft<16>(x[v]), x[v]), words);
      at += 2 * std::popcount(bits[0]);
      const V token = hn::Add(hn::And(e[v], byte_mask), offset);
      hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, token)), d16, run.out + i + v * kN);
    }
    for (; HWY_UNLIKELY(escapes != 0); escapes &= escapes - 1) {
      if (!resolve_escape(s, run, i + static_cast<size_t>(std::countr_zero(escapes)))) return false;
    }
    if constexpr (kMachine != Machine::kNone) {
      for (size_t v = 0; v < kVectors; ++v) {
        const size_t j = i + v * kN;
        V symbol = hn::PromoteTo(d, hn::LoadU(d16, run.out + j));
        if (run.low != nullptr) {
          symbol = hn::Or(hn::ShiftLeftSame(symbol, shift), hn::PromoteTo(d, hn::LoadU(d16, run.low + j)));
          hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, symbol)), d16, run.out + j);
        }
        const V state = hn::And(hn::LoadU(d, run.states + j), state_mask);
        const V index = hn::Add(hn::ShiftLeftSame(state, class_bits), hn::And(symbol, class_mask));
        if constexpr (kMachine == Machine::kAny) {
          hn::StoreU(hn::GatherIndex(d, s.next, hn::BitCast(di, index)), d, run.states + j);
        } else {
          const V next = hn::BitCast(
              d, hn::TableLookupBytesOr0(small_next,
                                         hn::BitCast(hn::RebindToSigned<decltype(db)>(), hn::Or(index, first_byte))));
          const V low = hn::And(next, hn::Set(d, 15u));
          hn::StoreU(hn::Or(low, hn::ShiftLeft<12>(hn::Xor(next, low))), d, run.states + j);
        }
      }
    }
  }
  for (size_t v = 0; v < kVectors; ++v) hn::Store(x[v], d, s.x + v * kN);
  s.at = at;
  return whole == run.count || rans_decode_lanes(s, run, whole, run.count);
}

bool DecodeRun(RansDecodeState& s, const RansRun& run) {
  if (run.states != nullptr && s.small_next != nullptr) return DecodeSteps<true, Machine::kSmall>(s, run);
  if (run.states != nullptr) return DecodeSteps<true, Machine::kAny>(s, run);
  if (run.line_cells != nullptr) return DecodeSteps<true, Machine::kNone>(s, run);
  return DecodeSteps<false, Machine::kNone>(s, run);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(DecodeRun);

bool rans_decode_run(RansDecodeState& state, const RansRun& run) { return HWY_DYNAMIC_DISPATCH(DecodeRun)(state, run); }

// A step takes at most 16 words and loads at most 16 bytes after them.
constexpr size_t kStepBytes = 48;

void RansDecodeState::set_words(const uint8_t* words, size_t bytes) {
  at = words;
  end = words + bytes;
  in_tail = false;
  if (bytes >= kStepBytes) {
    limit = end - kStepBytes;
  } else {
    limit = at;
    enter_tail();
  }
}

bool RansDecodeState::enter_tail() {
  if (in_tail) return false;
  const size_t left = static_cast<size_t>(end - at);
  std::memset(tail, 0, sizeof(tail));
  if (left != 0) std::memcpy(tail, at, left);
  at = tail;
  end = limit = tail + left;
  in_tail = true;
  return true;
}

bool RansDecodeState::all_used() const { return at == end; }

}  // namespace occ
#endif
