#include "tensor/dtype.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "simd/convert.h"

namespace occ {
namespace {

struct DTypeTraits {
  DType dtype;
  std::string_view name;
  size_t size;
  bool is_float;
};

constexpr std::array<DTypeTraits, 13> kTraits = {{
    {DType::kF64, "F64", 8, true},
    {DType::kF32, "F32", 4, true},
    {DType::kF16, "F16", 2, true},
    {DType::kBF16, "BF16", 2, true},
    {DType::kI64, "I64", 8, false},
    {DType::kI32, "I32", 4, false},
    {DType::kI16, "I16", 2, false},
    {DType::kI8, "I8", 1, false},
    {DType::kU64, "U64", 8, false},
    {DType::kU32, "U32", 4, false},
    {DType::kU16, "U16", 2, false},
    {DType::kU8, "U8", 1, false},
    {DType::kBool, "BOOL", 1, false},
}};

const DTypeTraits& traits(DType dtype) {
  const DTypeTraits& t = kTraits[static_cast<size_t>(dtype)];
  OCC_CHECK(t.dtype == dtype);
  return t;
}

// `in` and `out` may be unaligned, because data in files is.
template <typename In, typename Out, typename Convert>
void convert_each(const void* in, void* out, size_t count, Convert convert) {
  const auto* from = static_cast<const uint8_t*>(in);
  auto* to = static_cast<uint8_t*>(out);
  for (size_t i = 0; i < count; ++i) {
    In value;
    std::memcpy(&value, from + i * sizeof(In), sizeof(In));
    const Out converted = convert(value);
    std::memcpy(to + i * sizeof(Out), &converted, sizeof(Out));
  }
}

template <typename In>
void cast_to_f32(const void* in, float* out, size_t count) {
  convert_each<In, float>(in, out, count, [](In v) { return static_cast<float>(v); });
}

}  // namespace

size_t dtype_size(DType dtype) { return traits(dtype).size; }
std::string_view dtype_name(DType dtype) { return traits(dtype).name; }
bool is_float(DType dtype) { return traits(dtype).is_float; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DTypeTraits& t : kTraits) {
    if (t.name == name) return t.dtype;
  }
  return std::nullopt;
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Converts the bits of a float. It takes an integer because g++ 12 vectorises loops over integers but not loops with a
// bit_cast.
static uint16_t bits_to_bf16(uint32_t bits) {
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;  // NaN stays NaN
  return static_cast<uint16_t>(nan ? (bits >> 16) | 0x40 : rounded);
}
uint16_t f32_to_bf16(float value) { return bits_to_bf16(std::bit_cast<uint32_t>(value)); }

uint16_t f32_to_bf16_up(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0xffff) >> 16);
}

// The exponent of an f16 is changed to that of an f32 by a multiplication by a power of two, which also normalises
// subnormal numbers. simd/convert.cc does the same for many values at once.
float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  if (magnitude >= 0x0f800000) return std::bit_cast<float>(sign | (magnitude + 0x70000000));  // Inf, NaN
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | sign);
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);   // NaN
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to infinity
  if (magnitude < 0x38800000) {  // subnormal half: the addition rounds at the right bit
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

void convert_to_f32(DType from, const void* in, float* out, size_t count) {
  switch (from) {
    case DType::kF32:
      if (count != 0) std::memcpy(out, in, count * sizeof(float));
      return;
    case DType::kF16:
      return f16_to_f32_bulk(in, out, count);
    case DType::kBF16:
      return convert_each<uint16_t, uint32_t>(in, out, count, [](uint16_t bits) { return uint32_t{bits} << 16; });
    case DType::kF64:
      return cast_to_f32<double>(in, out, count);
    case DType::kI64:
      return cast_to_f32<int64_t>(in, out, count);
    case DType::kI32:
      return cast_to_f32<int32_t>(in, out, count);
    case DType::kI16:
      return cast_to_f32<int16_t>(in, out, count);
    case DType::kI8:
      return cast_to_f32<int8_t>(in, out, count);
    case DType::kU64:
      return cast_to_f32<uint64_t>(in, out, count);
    case DType::kU32:
      return cast_to_f32<uint32_t>(in, out, count);
    case DType::kU16:
      return cast_to_f32<uint16_t>(in, out, count);
    case DType::kU8:
    case DType::kBool:
      return cast_to_f32<uint8_t>(in, out, count);
  }
  OCC_CHECK(false);
}

void convert_from_f32(DType to, const float* in, void* out, size_t count) {
  switch (to) {
    case DType::kF32:
      if (count != 0) std::memcpy(out, in, count * sizeof(float));
      return;
    case DType::kF16:
      return f32_to_f16_bulk(in, out, count);
    case DType::kBF16:
      return convert_each<uint32_t, uint16_t>(in, out, count, bits_to_bf16);
    case DType::kF64:
      return convert_each<float, double>(in, out, count, [](float v) { return static_cast<double>(v); });
    default:
      OCC_CHECK(false);
  }
}

}  // namespace occ
