// The element types of tensors in files. The names are those of safetensors. GGUF types that are quantized in blocks
// are not among them; the GGUF reader converts them to floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace occ {

enum class DType : uint8_t { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };

size_t dtype_size(DType dtype);                           // the number of bytes of an element
std::string_view dtype_name(DType dtype);                 // "F32", "BF16", "I64", "BOOL", ...
std::optional<DType> parse_dtype(std::string_view name);  // nothing for an unknown name
bool is_float(DType dtype);

// Converts `count` elements. `in` and `out` may have any alignment. Conversion to f32 is exact except from F64, I64,
// I32, U64 and U32, whose values are rounded to nearest even. Conversion from f32 is possible only to F64, F32, F16 and
// BF16; values are rounded to nearest even, and values that are too large become infinity.
void convert_to_f32(DType from, const void* in, float* out, size_t count);
void convert_from_f32(DType to, const float* in, void* out, size_t count);

// Conversions of single values, for side information such as scales and codebooks.
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);     // round to nearest even
uint16_t f32_to_bf16_up(float value);  // rounds away from zero: the smallest magnitude >= |value|, with the same sign
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // round to nearest even, overflow gives infinity

}  // namespace occ
