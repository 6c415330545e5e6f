#include "io/quantized_rows.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace occ {

CodeValues unsigned_values() { return offset_values(0); }

CodeValues offset_values(float offset) {
  CodeValues out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i) - offset;
  return out;
}

CodeValues signed_values() {
  CodeValues out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(static_cast<int8_t>(i));
  return out;
}

void scale_row(const GroupScales& s, size_t row, const uint8_t* codes, size_t cols, const CodeValues& values,
               DType dtype, float* out) {
  OCC_CHECK(row < s.rows && s.group_size > 0);
  const float* scale = s.scale.data() + row * s.groups;
  const float* zero = s.zero.empty() ? nullptr : s.zero.data() + row * s.groups;
  if (!s.group_of.empty()) {
    for (size_t i = 0; i < cols; ++i) {
      const uint32_t g = s.group_of[i];
      out[i] = (values[codes[i]] - (zero == nullptr ? 0.0f : zero[g])) * scale[g];
    }
  } else if (s.codes <= 16 && s.group_size >= 2 * s.codes) {
    for (size_t first = 0, g = 0; first < cols; first += s.group_size, ++g) {
      float table[16];  // of the group, rounded already
      for (size_t code = 0; code < s.codes; ++code) {
        table[code] = (zero == nullptr ? values[code] : values[code] - zero[g]) * scale[g];
      }
      round_to(dtype, table, s.codes);
      const size_t end = std::min(cols, first + s.group_size);
      for (size_t i = first; i < end; ++i) out[i] = table[codes[i]];
    }
    return;
  } else {
    for (size_t first = 0, g = 0; first < cols; first += s.group_size, ++g) {
      const size_t end = std::min(cols, first + s.group_size);
      if (zero == nullptr) {
        for (size_t i = first; i < end; ++i) out[i] = values[codes[i]] * scale[g];
      } else {
        for (size_t i = first; i < end; ++i) out[i] = (values[codes[i]] - zero[g]) * scale[g];
      }
    }
  }
  round_to(dtype, out, cols);
}

void round_to(DType dtype, float* values, size_t count) {
  if (dtype != DType::kF16 && dtype != DType::kBF16) return;
  constexpr size_t kPanel = 1024;
  uint16_t rounded[kPanel];
  for (size_t first = 0; first < count; first += kPanel) {
    const size_t n = std::min(kPanel, count - first);
    convert_from_f32(dtype, values + first, rounded, n);
    convert_to_f32(dtype, rounded, values + first, n);
  }
}

namespace {
uint32_t word_at(const uint8_t* words, size_t i) {
  uint32_t word = 0;
  std::memcpy(&word, words + i * 4, 4);
  return word;
}
}  // namespace

uint32_t packed_code(const uint8_t* words, size_t stride, size_t i, unsigned bits) {
  const size_t bit = i * bits, word = bit / 32;
  const auto shift = static_cast<unsigned>(bit % 32);
  uint64_t both = word_at(words, word * stride);
  if (shift + bits > 32) both |= uint64_t{word_at(words, (word + 1) * stride)} << 32;
  return static_cast<uint32_t>((both >> shift) & ((1u << bits) - 1));
}

void unpack_codes(const uint8_t* words, unsigned bits, size_t count, uint8_t* codes) {
  if (bits == 4) return unpack_halves(words, count, codes);
  if (bits == 8) return static_cast<void>(std::copy_n(words, count, codes));
  for (size_t i = 0; i < count; ++i) codes[i] = static_cast<uint8_t>(packed_code(words, 1, i, bits));
}

void unpack_halves(const uint8_t* bytes, size_t count, uint8_t* codes) {
  for (size_t i = 0; i < count / 2; ++i) {
    codes[2 * i] = bytes[i] & 15;
    codes[2 * i + 1] = bytes[i] >> 4;
  }
  if (count % 2 != 0) codes[count - 1] = bytes[count / 2] & 15;
}

std::optional<std::string> without_ending(const std::string& name, std::string_view ending) {
  if (!name.ends_with(ending)) return std::nullopt;
  return name.substr(0, name.size() - ending.size());
}

Shape rows_of(const std::vector<uint64_t>& shape) {
  Shape out{1, shape.empty() ? 1 : shape.back()};
  for (size_t i = 0; i + 1 < shape.size(); ++i) out.rows *= shape[i];
  return out;
}

std::vector<float> transposed_floats(const std::vector<float>& values, size_t rows, size_t cols) {
  OCC_CHECK(values.size() == rows * cols);
  std::vector<float> out(values.size());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) out[c * rows + r] = values[r * cols + c];
  }
  return out;
}

}  // namespace occ
