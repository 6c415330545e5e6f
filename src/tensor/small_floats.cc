#include "tensor/small_floats.h"

#include <cmath>
#include <limits>

namespace occ {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The number (-1)^sign 2^(exponent - bias) (1 + mantissa / 2^mantissa_bits), or a subnormal one.
float value_of(unsigned code, unsigned exponent_bits, unsigned mantissa_bits, int bias) {
  const unsigned mantissa = code & ((1u << mantissa_bits) - 1);
  const unsigned exponent = (code >> mantissa_bits) & ((1u << exponent_bits) - 1);
  const bool negative = ((code >> (mantissa_bits + exponent_bits)) & 1) != 0;
  const unsigned whole = exponent == 0 ? mantissa : mantissa | (1u << mantissa_bits);
  const int power = static_cast<int>(exponent == 0 ? 1 : exponent) - bias - static_cast<int>(mantissa_bits);
  const float magnitude = std::ldexp(static_cast<float>(whole), power);
  return negative ? -magnitude : magnitude;
}

SmallFloat make(std::string_view name, unsigned exponent_bits, unsigned mantissa_bits, int bias) {
  SmallFloat out;
  out.name = name;
  out.bits = 1 + exponent_bits + mantissa_bits;
  for (unsigned code = 0; code < (1u << out.bits); ++code) {
    out.values[code] = value_of(code, exponent_bits, mantissa_bits, bias);
  }
  return out;
}

SmallFloat make_e4m3() {
  SmallFloat out = make("F8_E4M3", 4, 3, 7);
  out.values[0x7f] = out.values[0xff] = kNan;
  return out;
}

SmallFloat make_e5m2() {
  SmallFloat out = make("F8_E5M2", 5, 2, 15);
  for (const unsigned sign : {0u, 0x80u}) {
    out.values[sign | 0x7c] = sign == 0 ? kInfinity : -kInfinity;
    for (unsigned code = 0x7d; code <= 0x7f; ++code) out.values[sign | code] = kNan;
  }
  return out;
}

SmallFloat make_fnuz(std::string_view name, unsigned exponent_bits, unsigned mantissa_bits, int bias) {
  SmallFloat out = make(name, exponent_bits, mantissa_bits, bias);
  out.values[0x80] = kNan;
  return out;
}

SmallFloat make_e8m0() {
  SmallFloat out;
  out.name = "F8_E8M0";
  for (int code = 0; code < 255; ++code) out.values[static_cast<size_t>(code)] = std::ldexp(1.0f, code - 127);
  out.values[255] = kNan;
  return out;
}

const std::array<SmallFloat, 6>& types() {
  static const std::array<SmallFloat, 6> kTypes = {make("F4", 2, 1, 1),
                                                   make_e4m3(),
                                                   make_e8m0(),
                                                   make_e5m2(),
                                                   make_fnuz("F8_E4M3FNUZ", 4, 3, 8),
                                                   make_fnuz("F8_E5M2FNUZ", 5, 2, 16)};
  return kTypes;
}

}  // namespace

const SmallFloat* find_small_float(std::string_view name) {
  for (const SmallFloat& type : types()) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

const SmallFloat& float_e2m1() { return types()[0]; }
const SmallFloat& float_e4m3() { return types()[1]; }
const SmallFloat& float_e8m0() { return types()[2]; }

}  // namespace occ
