// Unpacking of cells: see int8_kernels.h for the layout.
#include "base/check.h"
#include "operators/int8_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "operators/int8_unpack.cc"
#include "hwy/foreach_target.h"
// foreach_target.h comes first.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

// The code of column i of packed group g.
HWY_INLINE unsigned CodeAt(const uint8_t* row, unsigned bits, size_t g, size_t i) {
  unsigned code = 0, position = 0;
  for (const unsigned w : {8u, 4u, 2u, 1u}) {
    if ((bits & w) == 0) continue;
    const size_t per_byte = 8 / w;
    const unsigned byte = row[g / per_byte * kGroupColumns + i];
    code |= (byte >> (g % per_byte * w) & ((1u << w) - 1)) << position;
    position += w;
    row += w * kGroupColumns;
  }
  return code;
}

void UnpackCell(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  const size_t together = rows_together(cell.groups), rows = (cell.rows + together - 1) / together * together;
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* data = cell.data + r / together * packed_bytes_of(cell.bits);
    for (size_t c = 0; c < cell.groups * kGroupColumns; ++c) {
      const unsigned code = CodeAt(data, cell.bits, r % together * cell.groups + c / kGroupColumns, c % kGroupColumns);
      out[r * kCellColumns + c] = static_cast<uint8_t>(cell.next == nullptr ? code : 2 * code + (states[c] & 1));
      if (cell.next != nullptr) states[c] = cell.next[states[c] | (code & 1) << 1];
    }
  }
}

#else

using DU8 = hn::CappedTag<uint8_t, 32>;
using VU8 = hn::Vec<DU8>;

// The low `width` bits of (each byte >> from), moved up to bit `to`.
template <int kWidth, int kFrom, int kTo>
HWY_INLINE VU8 Field(VU8 v) {
  const DU8 d;
  const hn::Repartition<uint16_t, DU8> d16;
  if constexpr (kFrom > kTo) {
    v = hn::BitCast(d, hn::ShiftRight<kFrom - kTo>(hn::BitCast(d16, v)));
  } else if constexpr (kFrom < kTo) {
    v = hn::BitCast(d, hn::ShiftLeft<kTo - kFrom>(hn::BitCast(d16, v)));
  }
  if constexpr (kWidth == 8) return v;
  return hn::And(v, hn::Set(d, static_cast<uint8_t>(((1 << kWidth) - 1) << kTo)));
}

// The codes of packed group g, moved up by kUp bits. row: at the vector's place in the first 32 bytes.
template <int kBits, int kUp, size_t g>
HWY_INLINE VU8 Codes(const uint8_t* HWY_RESTRICT row) {
  const DU8 d;
  constexpr size_t k8 = kBits & 8, k4 = kBits & 4, k2 = kBits & 2;
  VU8 v = hn::Zero(d);
  if constexpr ((kBits & 8) != 0) v = Field<8, 0, kUp>(hn::Load(d, row + g * 32));
  if constexpr ((kBits & 4) != 0) {
    v = hn::Or(v, Field<4, g % 2 * 4, (kBits & 8) + kUp>(hn::Load(d, row + (k8 + g / 2) * 32)));
  }
  if constexpr ((kBits & 2) != 0) {
    v = hn::Or(v, Field<2, g % 4 * 2, (kBits & 12) + kUp>(hn::Load(d, row + (k8 + k4 + g / 4) * 32)));
  }
  if constexpr ((kBits & 1) != 0) {
    v = hn::Or(v, Field<1, g, (kBits & 14) + kUp>(hn::Load(d, row + (k8 + k4 + k2) * 32)));
  }
  return v;
}

// Group g of what is packed together belongs to row g / kGroups.
template <int kBits, int kGroups, size_t g>
HWY_INLINE void UnpackGroup(const uint8_t* HWY_RESTRICT row, uint8_t* HWY_RESTRICT out) {
  hn::Store(Codes<kBits, 0, g>(row), DU8(), out + g / kGroups * kCellColumns + g % kGroups * 32);
}
template <int kBits, int kGroups, size_t g>
HWY_INLINE void UnpackCarriedGroup(const uint8_t* HWY_RESTRICT row, VU8 table, VU8& state, uint8_t* HWY_RESTRICT out) {
  const DU8 d;
  const VU8 doubled = Codes<kBits, 1, g>(row);
  hn::Store(hn::Or(doubled, hn::And(state, hn::Set(d, uint8_t{1}))), d,
            out + g / kGroups * kCellColumns + g % kGroups * 32);
  state = hn::TableLookupBytes(table, hn::Or(state, hn::And(doubled, hn::Set(d, uint8_t{2}))));
}

template <int kBits, int kGroups>
void Unpack(const PackedCell& cell, uint8_t* states, uint8_t* HWY_RESTRICT out) {
  constexpr size_t kBytes = packed_bytes_of(kBits), kRows = rows_together(kGroups);
  const DU8 d;
  constexpr size_t kN = hn::MaxLanes(DU8());
  for (size_t at = 0; at < kGroupColumns; at += kN) {
    const uint8_t* HWY_RESTRICT row = cell.data + at;
    uint8_t* HWY_RESTRICT to = out + at;
    if (cell.next == nullptr) {
      for (size_t r = 0; r < cell.rows; r += kRows, row += kBytes, to += kRows * kCellColumns) {
        UnpackGroup<kBits, kGroups, 0>(row, to);
        UnpackGroup<kBits, kGroups, 1>(row, to);
        UnpackGroup<kBits, kGroups, 2>(row, to);
        UnpackGroup<kBits, kGroups, 3>(row, to);
        UnpackGroup<kBits, kGroups, 4>(row, to);
        UnpackGroup<kBits, kGroups, 5>(row, to);
        UnpackGroup<kBits, kGroups, 6>(row, to);
        UnpackGroup<kBits, kGroups, 7>(row, to);
      }
      continue;
    }
    if constexpr (kBits < 8) {
      const VU8 table = hn::LoadDup128(d, cell.next);
      VU8 s0 = hn::Load(d, states + at), s1 = hn::Load(d, states + 32 + at), s2 = s0, s3 = s0, s4 = s0, s5 = s0,
          s6 = s0, s7 = s0;
      if constexpr (kGroups >= 4) s2 = hn::Load(d, states + 64 + at), s3 = hn::Load(d, states + 96 + at);
      if constexpr (kGroups >= 8) {
        s4 = hn::Load(d, states + 128 + at), s5 = hn::Load(d, states + 160 + at);
        s6 = hn::Load(d, states + 192 + at), s7 = hn::Load(d, states + 224 + at);
      }
      // The states of packed group i.
      VU8 &t2 = kGroups == 2 ? s0 : s2, &t3 = kGroups == 2 ? s1 : s3;
      VU8 &t4 = kGroups < 8 ? s0 : s4, &t5 = kGroups < 8 ? s1 : s5;
      VU8 &t6 = kGroups < 8 ? t2 : s6, &t7 = kGroups < 8 ? t3 : s7;
      for (size_t r = 0; r < cell.rows; r += kRows, row += kBytes, to += kRows * kCellColumns) {
        UnpackCarriedGroup<kBits, kGroups, 0>(row, table, s0, to);
        UnpackCarriedGroup<kBits, kGroups, 1>(row, table, s1, to);
        UnpackCarriedGroup<kBits, kGroups, 2>(row, table, t2, to);
        UnpackCarriedGroup<kBits, kGroups, 3>(row, table, t3, to);
        UnpackCarriedGroup<kBits, kGroups, 4>(row, table, t4, to);
        UnpackCarriedGroup<kBits, kGroups, 5>(row, table, t5, to);
        UnpackCarriedGroup<kBits, kGroups, 6>(row, table, t6, to);
        UnpackCarriedGroup<kBits, kGroups, 7>(row, table, t7, to);
      }
      hn::Store(s0, d, states + at), hn::Store(s1, d, states + 32 + at);
      if constexpr (kGroups >= 4) hn::Store(s2, d, states + 64 + at), hn::Store(s3, d, states + 96 + at);
      if constexpr (kGroups >= 8) {
        hn::Store(s4, d, states + 128 + at), hn::Store(s5, d, states + 160 + at);
        hn::Store(s6, d, states + 192 + at), hn::Store(s7, d, states + 224 + at);
      }
    }
  }
}

template <int kBits>
void UnpackBits(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  cell.groups == 8   ? Unpack<kBits, 8>(cell, states, out)
  : cell.groups == 4 ? Unpack<kBits, 4>(cell, states, out)
                     : Unpack<kBits, 2>(cell, states, out);
}

void UnpackCell(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  switch (cell.bits) {
    case 0:
      return UnpackBits<0>(cell, states, out);
    case 1:
      return UnpackBits<1>(cell, states, out);
    case 2:
      return UnpackBits<2>(cell, states, out);
    case 3:
      return UnpackBits<3>(cell, states, out);
    case 4:
      return UnpackBits<4>(cell, states, out);
    case 5:
      return UnpackBits<5>(cell, states, out);
    case 6:
      return UnpackBits<6>(cell, states, out);
    case 7:
      return UnpackBits<7>(cell, states, out);
    default:
      return UnpackBits<8>(cell, states, out);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(UnpackCell);

void unpack_cell(const PackedCell& cell, uint8_t* states, uint8_t* out) {
  OCC_CHECK(cell.rows <= kCellRows && (cell.groups == 2 || cell.groups == 4 || cell.groups == 8));
  OCC_CHECK(cell.bits <= (cell.next == nullptr ? kMostBits : kMostBits - 1));
  HWY_DYNAMIC_DISPATCH(UnpackCell)(cell, states, out);
}

}  // namespace occ
#endif
