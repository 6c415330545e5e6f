#include "base/range_coder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "base/check.h"

namespace occ {
namespace {

constexpr unsigned kSlowest = 7;  // probabilities move by 2^-7 at last
constexpr uint32_t kLeastRange = 1u << 24;
constexpr int kFixed = 0, kFollow = 4;  // rates of the center
constexpr unsigned kRateBits = 3, kCenterBits = 16, kLongest = 17;
constexpr int32_t kLeast = -32768, kMost = 32767;

// The adaptive bits of put_integers. The length of a difference in bits is written in unary, then come the sign, two
// modelled bits below the highest one, and the others as they are.
struct IntegerBits {
  std::array<AdaptiveBit, kLongest> longer;
  AdaptiveBit sign;
  std::array<std::array<AdaptiveBit, 4>, kLongest + 1> next;
};

// The center that differences are taken from, in units of 1 / 256.
class Center {
 public:
  Center(int32_t center, uint32_t rate) : sum_(center * 256), rate_(rate) {}
  int32_t value() const { return (sum_ + 128) >> 8; }
  void follow(int32_t v) {
    if (rate_ != 0) sum_ += (256 * v - sum_) >> rate_;
  }

 private:
  int32_t sum_;
  uint32_t rate_;
};

void put_difference(int32_t e, IntegerBits& bits, RangeEncoder& out) {
  const auto size = static_cast<uint32_t>(std::abs(e));
  const auto length = static_cast<unsigned>(std::bit_width(size));
  for (unsigned i = 0; i < length; ++i) out.put(bits.longer[i], true);
  if (length < kLongest) out.put(bits.longer[length], false);
  if (length == 0) return;
  out.put(bits.sign, e < 0);
  unsigned left = length - 1;
  for (size_t node = 1; left > 0 && node < 4;) {
    const bool bit = (size >> --left & 1) != 0;
    out.put(bits.next[length][node], bit);
    node = 2 * node + (bit ? 1 : 0);
  }
  out.put_raw(size, left);
}

int32_t get_difference(IntegerBits& bits, RangeDecoder& in) {
  unsigned length = 0;
  while (length < kLongest && in.get(bits.longer[length])) ++length;
  if (length == 0) return 0;
  const bool negative = in.get(bits.sign);
  uint32_t size = 1;
  unsigned left = length - 1;
  for (size_t node = 1; left > 0 && node < 4; --left) {
    const uint32_t bit = in.get(bits.next[length][node]) ? 1 : 0;
    size = 2 * size + bit;
    node = 2 * node + bit;
  }
  size = (size << left) + in.get_raw(left);
  return negative ? -static_cast<int32_t>(size) : static_cast<int32_t>(size);
}

void put_at_rate(std::span<const int32_t> values, int32_t center, uint32_t rate, RangeEncoder& out) {
  out.put_raw(rate, kRateBits);
  out.put_raw(static_cast<uint32_t>(center - kLeast), kCenterBits);
  Center from(center, rate);
  IntegerBits bits;
  for (const int32_t v : values) {
    put_difference(v - from.value(), bits, out);
    from.follow(v);
  }
}

}  // namespace

void AdaptiveBit::update(bool bit) {
  const auto shift = std::min(static_cast<unsigned>(std::bit_width(seen_ + 1u)), kSlowest);
  if (seen_ < 255) ++seen_;
  if (bit) {
    zero_ = static_cast<uint16_t>(zero_ - (zero_ >> shift));
  } else {
    zero_ = static_cast<uint16_t>(zero_ + ((65536u - zero_) >> shift));
  }
}

void RangeEncoder::carry() {
  for (size_t i = bytes_.size(); low_ >> 32 != 0; --i) {
    OCC_CHECK(i > 0);
    if (++bytes_[i - 1] != 0) low_ &= 0xffffffff;
  }
}

void RangeEncoder::encode(uint32_t zero, bool bit) {
  const uint32_t bound = (range_ >> 16) * zero;
  if (bit) {
    low_ += bound;
    range_ -= bound;
    carry();
  } else {
    range_ = bound;
  }
  for (; range_ < kLeastRange; range_ <<= 8) {
    bytes_.push_back(static_cast<uint8_t>(low_ >> 24));
    low_ = low_ << 8 & 0xffffffff;
  }
}

void RangeEncoder::put_raw(uint32_t value, unsigned width) {
  while (width > 0) encode(32768, (value >> --width & 1) != 0);
}

Bytes RangeEncoder::take() {
  for (int i = 0; i < 4; ++i, low_ <<= 8) bytes_.push_back(static_cast<uint8_t>(low_ >> 24));
  return std::move(bytes_);
}

RangeDecoder::RangeDecoder(ByteSpan bytes, std::string what) : bytes_(bytes), what_(std::move(what)) {
  for (int i = 0; i < 4; ++i) code_ = code_ << 8 | next();
}

bool RangeDecoder::decode(uint32_t zero) {
  const uint32_t bound = (range_ >> 16) * zero;
  const bool bit = code_ >= bound;
  if (bit) {
    code_ -= bound;
    range_ -= bound;
  } else {
    range_ = bound;
  }
  for (; range_ < kLeastRange; range_ <<= 8) code_ = code_ << 8 | next();
  return bit;
}

uint32_t RangeDecoder::get_raw(unsigned width) {
  uint32_t value = 0;
  while (width-- > 0) value = 2 * value + (decode(32768) ? 1 : 0);
  return value;
}

void RangeDecoder::expect_room_for(uint64_t integers) const {
  constexpr uint64_t kMostPerByte = 4096, kFree = 64;
  if (integers / kMostPerByte <= bytes_.size() + kFree) return;
  throw_input("{}: expected {} range-coded integers, found {} bytes", what_, integers, bytes_.size());
}

void RangeDecoder::expect_done() const {
  if (at_ == bytes_.size() && code_ == 0) return;
  throw_input("{}: expected {} bytes of range-coded integers, found {} that do not end with them", what_, at_,
              bytes_.size());
}

void AdaptiveTree::put(uint32_t value, RangeEncoder& out) {
  size_t node = 1;
  for (unsigned left = width_; left > 0;) {
    const bool bit = (value >> --left & 1) != 0;
    out.put(bits_[node], bit);
    node = 2 * node + (bit ? 1 : 0);
  }
}

uint32_t AdaptiveTree::get(RangeDecoder& in) {
  size_t node = 1;
  for (unsigned i = 0; i < width_; ++i) node = 2 * node + (in.get(bits_[node]) ? 1 : 0);
  return static_cast<uint32_t>(node - (size_t{1} << width_));
}

void put_integers(std::span<const int32_t> values, RangeEncoder& out) {
  int32_t center = 0;
  if (!values.empty()) {
    std::vector<int32_t> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    OCC_CHECK(sorted.front() >= kLeast && sorted.back() <= kMost);
    center = sorted[sorted.size() / 2];
  }
  const auto bytes_at = [&](uint32_t rate) {
    RangeEncoder trial;
    put_at_rate(values, center, rate, trial);
    return trial.take().size();
  };
  put_at_rate(values, center, bytes_at(kFixed) <= bytes_at(kFollow) ? kFixed : kFollow, out);
}

void get_integers(std::span<int32_t> values, RangeDecoder& in) {
  const uint32_t rate = in.get_raw(kRateBits);
  Center from(static_cast<int32_t>(in.get_raw(kCenterBits)) + kLeast, rate);
  IntegerBits bits;
  for (int32_t& v : values) {
    v = from.value() + get_difference(bits, in);
    if (v < kLeast || v > kMost) {
      throw_input("{}: expected integers from {} to {}, found {}", in.what(), kLeast, kMost, v);
    }
    from.follow(v);
  }
}

}  // namespace occ
