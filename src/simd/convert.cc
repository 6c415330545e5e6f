// Both directions by integer operations and one exact or correctly rounded float operation per element: a product with
// 2^112 moves a half into place including its subnormals; adding 0.5 to a value below 2^-14 rounds it to a multiple of
// 2^-24. Cost: about 10 operations per vector. (F16C would do the same but has other NaN payloads than the scalar
// form.)
#include "simd/convert.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/convert.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace occ {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using DU = hn::RebindToUnsigned<DF>;
using DI = hn::RebindToSigned<DF>;
using DH = hn::Rebind<uint16_t, DF>;

void F16ToF32One(const uint16_t* half, float* out) {
  const DF df;
  const DU du;
  const auto bits = hn::PromoteTo(du, hn::LoadU(DH(), half));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000)));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fff)));
  const auto scaled = hn::BitCast(du, hn::Mul(hn::BitCast(df, magnitude), hn::Set(df, 0x1p112f)));
  const auto special = hn::Gt(hn::BitCast(DI(), magnitude), hn::Set(DI(), 0x0f7fffff));  // Inf, NaN
  const auto value = hn::IfThenElse(hn::RebindMask(du, special), hn::Add(magnitude, hn::Set(du, 0x70000000)), scaled);
  hn::StoreU(hn::BitCast(df, hn::Or(value, sign)), df, out);
}

void F32ToF16One(const float* in, uint16_t* half) {
  const DF df;
  const DU du;
  const DI di;
  const auto bits = hn::BitCast(du, hn::LoadU(df, in));
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7fffffff));
  const auto order = hn::BitCast(di, magnitude);  // compares like the magnitudes
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1));
  const auto rounded = hn::Add(hn::Add(magnitude, hn::Set(du, 0xfff)), odd);
  const auto normal = hn::ShiftRight<13>(hn::Sub(rounded, hn::Set(du, 0x38000000)));
  const auto shifted = hn::BitCast(du, hn::Add(hn::BitCast(df, magnitude), hn::Set(df, 0.5f)));
  const auto subnormal = hn::Sub(shifted, hn::Set(du, 0x3f000000));
  const auto above = [&](int32_t limit) HWY_ATTR { return hn::RebindMask(du, hn::Gt(order, hn::Set(di, limit))); };
  auto value = hn::IfThenElse(above(0x387fffff), normal, subnormal);
  value = hn::IfThenElse(above(0x477fefff), hn::Set(du, 0x7c00), value);  // rounds to infinity
  value = hn::IfThenElse(above(0x7f800000), hn::Set(du, 0x7e00), value);  // NaN
  // 16-bit lanes that DemoteTo saturates only below 0 and above 65,535: neither occurs.
  hn::StoreU(hn::DemoteTo(DH(), hn::BitCast(di, hn::Or(value, sign))), DH(), half);
}

void F16ToF32Kernel(const uint8_t* half, float* out, size_t count) {
  const size_t n = hn::Lanes(DF());
  size_t i = 0;
  for (; i + n <= count; i += n) F16ToF32One(reinterpret_cast<const uint16_t*>(half + 2 * i), out + i);
  if (i == count) return;
  HWY_ALIGN uint16_t tail_in[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN float tail_out[HWY_MAX_BYTES / 4];
  std::memcpy(tail_in, half + 2 * i, 2 * (count - i));
  F16ToF32One(tail_in, tail_out);
  std::memcpy(out + i, tail_out, sizeof(float) * (count - i));
}

void F32ToF16Kernel(const float* in, uint8_t* half, size_t count) {
  const size_t n = hn::Lanes(DF());
  size_t i = 0;
  for (; i + n <= count; i += n) F32ToF16One(in + i, reinterpret_cast<uint16_t*>(half + 2 * i));
  if (i == count) return;
  HWY_ALIGN float tail_in[HWY_MAX_BYTES / 4] = {};
  HWY_ALIGN uint16_t tail_out[HWY_MAX_BYTES / 4];
  std::memcpy(tail_in, in + i, sizeof(float) * (count - i));
  F32ToF16One(tail_in, tail_out);
  std::memcpy(half + 2 * i, tail_out, 2 * (count - i));
}

}  // namespace HWY_NAMESPACE
}  // namespace occ
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace occ {

HWY_EXPORT(F16ToF32Kernel);
HWY_EXPORT(F32ToF16Kernel);

void f16_to_f32_bulk(const void* half, float* out, size_t count) {
  HWY_DYNAMIC_DISPATCH(F16ToF32Kernel)(static_cast<const uint8_t*>(half), out, count);
}

void f32_to_f16_bulk(const float* in, void* half, size_t count) {
  HWY_DYNAMIC_DISPATCH(F32ToF16Kernel)(in, static_cast<uint8_t*>(half), count);
}

}  // namespace occ
#endif
