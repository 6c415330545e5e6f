// Codes short sequences of small integers, such as the scales of rows, near their entropy: a binary range coder with
// adaptive probabilities (G. N. N. Martin 1979; the carry is resolved in the bytes already written). Everything is an
// integer, so that every machine decodes the same. docs/reference/format.md, "Range-coded integers", has the format.
//
// A probability starts at 1/2 and moves by 1/2, 1/4, 1/8, ... of the distance, at last by 1/128, so that a sequence of
// a few hundred integers hardly pays for learning. An integer takes at least .0028 bits. The last four bytes are the lowest
// number that decodes to the sequence, so that the decoder is left with 0: other bytes end so in one of 2^24 cases.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace occ {

// The probability of a 0, in units of 1 / 65,536, for one kind of decision.
class AdaptiveBit {
 public:
  uint32_t zero() const { return zero_; }
  void update(bool bit);

 private:
  uint16_t zero_ = 32768;
  uint8_t seen_ = 0;
};

class RangeEncoder {
 public:
  void put(AdaptiveBit& model, bool bit) {
    encode(model.zero(), bit);
    model.update(bit);
  }
  // The low `width` bits of value, each with probability 1/2, the highest first.
  void put_raw(uint32_t value, unsigned width);
  // All bytes. The encoder must not be used afterwards.
  Bytes take();

 private:
  void encode(uint32_t zero, bool bit);
  void carry();

  Bytes bytes_;
  uint64_t low_ = 0;
  uint32_t range_ = 0xffffffff;
};

class RangeDecoder {
 public:
  // `what` names the source of the bytes in errors. The bytes must outlive the decoder.
  RangeDecoder(ByteSpan bytes, std::string what);
  // Takes all that is left in `side`.
  explicit RangeDecoder(ByteReader& side) : RangeDecoder(side.get_bytes(side.remaining()), side.what()) {}

  bool get(AdaptiveBit& model) {
    const bool bit = decode(model.zero());
    model.update(bit);
    return bit;
  }
  uint32_t get_raw(unsigned width);
  // Input error if so many integers cannot be in these bytes, so that a damaged file asks for no absurd memory.
  void expect_room_for(uint64_t integers) const;
  // Input error unless all bytes were read and the end is that of an encoder.
  void expect_done() const;
  const std::string& what() const { return what_; }

 private:
  bool decode(uint32_t zero);
  uint32_t next() { return at_ < bytes_.size() ? bytes_[at_++] : (++at_, 0); }

  ByteSpan bytes_;
  std::string what_;
  size_t at_ = 0;
  uint32_t code_ = 0, range_ = 0xffffffff;
};

// Integers from 0 to 2^width - 1 with a distribution of any form, width <= 8: one adaptive bit for every prefix.
class AdaptiveTree {
 public:
  explicit AdaptiveTree(unsigned width) : width_(width), bits_(size_t{1} << width) {}
  void put(uint32_t value, RangeEncoder& out);
  uint32_t get(RangeDecoder& in);

 private:
  unsigned width_;
  std::vector<AdaptiveBit> bits_;
};

// Integers whose distribution falls on both sides of its center, from -32,768 to 32,767.
void put_integers(std::span<const int32_t> values, RangeEncoder& out);
// Reads as many as `values` has. Input error if one is out of range.
void get_integers(std::span<int32_t> values, RangeDecoder& in);

}  // namespace occ
