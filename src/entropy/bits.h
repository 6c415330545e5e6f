// Bit strings. Bit i of a string is bit i % 8 of byte i / 8, and the lowest bit of a value comes first. Packed symbols
// are a bit string with `width` bits (0 to 16) for each symbol and nothing between them; the last byte is filled with
// zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "tensor/symbols.h"

namespace occ {

class BitWriter {
 public:
  // Appends a value < 2^width; width <= 32.
  void put(uint32_t value, unsigned width) {
    pending_ |= uint64_t{value} << have_;
    for (have_ += width; have_ >= 8; have_ -= 8, pending_ >>= 8) bytes_.push_back(static_cast<uint8_t>(pending_));
  }
  // Number of bits that have been written.
  size_t bits() const { return bytes_.size() * 8 + have_; }
  // Returns the string and empties the writer.
  Bytes take() {
    if (have_ != 0) bytes_.push_back(static_cast<uint8_t>(pending_));
    pending_ = have_ = 0;
    return std::move(bytes_);
  }

 private:
  Bytes bytes_;
  uint64_t pending_ = 0;
  unsigned have_ = 0;
};

class BitReader {
 public:
  BitReader() = default;
  explicit BitReader(ByteSpan bytes) : data_(bytes.data()), bits_(uint64_t{bytes.size()} * 8) {}
  // Reads `width` bits, at most 32. Returns false and reads nothing if fewer bits are left.
  bool get(unsigned width, uint32_t& value) {
    if (width > bits_ - at_) return false;
    value = 0;
    for (unsigned got = 0; got < width;) {
      const unsigned skip = at_ % 8;
      const unsigned take = width - got < 8 - skip ? width - got : 8 - skip;
      value |= ((uint32_t{data_[at_ / 8]} >> skip) & ((1u << take) - 1)) << got;
      got += take;
      at_ += take;
    }
    return true;
  }
  // Number of bytes from which at least one bit was read.
  size_t bytes_used() const { return static_cast<size_t>((at_ + 7) / 8); }
  // Whether every byte was needed, which means that fewer than 8 bits are left.
  bool used_up() const { return bits_ - at_ < 8; }

 private:
  const uint8_t* data_ = nullptr;
  uint64_t bits_ = 0;
  uint64_t at_ = 0;
};

// Bytes of `count` packed symbols: ceil(count * width / 8), without overflow of count * width.
constexpr uint64_t packed_bytes(uint64_t count, unsigned width) {
  return count / 8 * width + (count % 8 * width + 7) / 8;
}

// Packs symbols < 2^width into exactly packed_bytes(count, width) bytes.
void pack_symbols(const Symbol* symbols, size_t count, unsigned width, uint8_t* out) noexcept;
// Unpacks the symbols [first, first + count) of a packed string of `size` bytes, which must hold them. Returns the
// largest one, or 0 if there are none.
Symbol unpack_symbols(const uint8_t* bytes, size_t size, unsigned width, size_t first, size_t count,
                      Symbol* out) noexcept;

}  // namespace occ
