// Little-endian byte streams. The reader never reads past its end: it throws an input error that names what it read.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace occ {

static_assert(std::endian::native == std::endian::little, "only little-endian hosts are supported");

using Bytes = std::vector<uint8_t>;
using ByteSpan = std::span<const uint8_t>;

// The number of bytes that put_varint(value) writes.
constexpr uint64_t varint_bytes(uint64_t value) {
  uint64_t n = 1;
  for (; value >= 0x80; value >>= 7) ++n;
  return n;
}

class ByteWriter {
 public:
  template <typename T>
  requires std::is_arithmetic_v<T>
  void put(T value) { put_array(&value, 1); }
  template <typename T>
  requires std::is_arithmetic_v<T>
  void put_array(const T* values, size_t count) {
    const size_t at = bytes_.size();
    bytes_.resize(at + count * sizeof(T));
    if (count != 0) std::memcpy(bytes_.data() + at, values, count * sizeof(T));
  }
  // Writes an unsigned LEB128 integer: 7 bits in each byte, low bits first; the high bit is set in all bytes but the
  // last.
  void put_varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<uint8_t>(value | 0x80));
    bytes_.push_back(static_cast<uint8_t>(value));
  }
  void put_bytes(ByteSpan b) { put_array(b.data(), b.size()); }
  void reserve(size_t bytes) { bytes_.reserve(bytes); }
  size_t size() const { return bytes_.size(); }
  ByteSpan span() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// `what` names the source of the bytes in error messages, for example "model.occ, tensor 'w'".
class ByteReader {
 public:
  ByteReader(ByteSpan bytes, std::string what) : bytes_(bytes), what_(std::move(what)) {}

  template <typename T>
  requires std::is_arithmetic_v<T> T get() {
    T value;
    std::memcpy(&value, get_bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }
  template <typename T>
  requires std::is_arithmetic_v<T>
  void get_array(T* values, size_t count) {
    if (count > remaining() / sizeof(T)) fail_truncated(count);
    if (count != 0) std::memcpy(values, get_bytes(count * sizeof(T)).data(), count * sizeof(T));
  }
  uint64_t get_varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = get<uint8_t>();
      const uint64_t bits = byte & 0x7f;
      if (shift == 63 && bits > 1) break;
      value |= bits << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw_input("{}: a variable-length integer at byte {} is longer than 64 bits", what_, at_);
  }
  ByteSpan get_bytes(size_t count) {
    if (count > remaining()) fail_truncated(count);
    const ByteSpan out = bytes_.subspan(at_, count);
    at_ += count;
    return out;
  }
  size_t at() const { return at_; }
  size_t remaining() const { return bytes_.size() - at_; }
  bool done() const { return remaining() == 0; }
  void expect_done() const {
    if (!done()) throw_input("{}: expected the end at byte {}, found {} more bytes", what_, at_, remaining());
  }
  const std::string& what() const { return what_; }

 private:
  [[noreturn]] void fail_truncated(size_t count) const {
    throw_input("{}: expected {} more bytes at byte {}, found {}", what_, count, at_, remaining());
  }

  ByteSpan bytes_;
  size_t at_ = 0;
  std::string what_;
};

}  // namespace occ
