// Element types of files. Names are those of safetensors; GGUF block types are converted to floats by their reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace occ {

enum class DType : uint8_t { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };

size_t dtype_size(DType dtype);            // bytes per element
std::string_view dtype_name(DType dtype);  // "F32", "BF16", "I64", "BOOL", ...
std::optional<DType> parse_dtype(std::string_view name);
bool is_float(DType dtype);

// Element conversions, SIMD inside. To f32: exact except F64, I64, I32, U64, U32 (rounded to nearest even).
// From f32 (F64, F32, F16, BF16 only): round to nearest even, overflow gives infinity.
void convert_to_f32(DType from, const void* in, float* out, size_t count);
void convert_from_f32(DType to, const float* in, void* out, size_t count);

// Scalar forms for side information (scales, codebooks).
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);     // round to nearest even
uint16_t f32_to_bf16_up(float value);  // smallest bf16 whose magnitude is >= |value|
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  // round to nearest even, overflow gives infinity

}  // namespace occ
