// The encoding loop, and the tables of both directions.
#include <cstring>

#include "base/check.h"
#include "entropy/rans_kernel.h"

namespace occ {

void fill_decode_entries(const RansTable& table, uint32_t* entries) {
  uint32_t slot = 0;
  for (uint32_t id = 0; id < kRansIds; ++id) {
    const uint32_t f = table.frequency(id);
    const uint32_t common = id == kRansEscape ? uint32_t{0x800} << 20 : id;
    for (uint32_t i = 0; i < f; ++i) entries[slot++] = common + ((f - 1) << 8) + (i << 20);
  }
  OCC_CHECK(slot == kRansOne);
}

void fill_encode_entries(const RansTable& table, RansEncodeEntry* entries) {
  uint32_t start = 0;
  for (uint32_t id = 0; id < kRansIds; ++id) {
    const uint32_t f = table.frequency(id);
    if (f != 0) {
      entries[id] = {.reciprocal = ((uint64_t{1} << 44) + f - 1) / f,
                     .limit = static_cast<uint32_t>((uint64_t{f} << 20) - 1),
                     .start = static_cast<uint16_t>(start),
                     .complement = static_cast<uint16_t>(kRansOne - f)};
    }
    start += f;
  }
  for (uint32_t id = 0; id < kRansWindow; ++id) {
    if (table.frequency(id) == 0) entries[id] = entries[kRansEscape];
  }
}

uint8_t* rans_encode_run(uint32_t* x, const RansEncodeEntry* entries, const uint32_t* ids, size_t count, uint8_t* out) {
  const auto encode_one = [&](uint32_t id, uint32_t& lane) {
    const RansEncodeEntry e = entries[id];
    const uint32_t before = lane;
    // There is no branch, because it would be mispredicted: the word is always written, and kept only if needed.
    const auto word = static_cast<uint16_t>(before);
    std::memcpy(out - 2, &word, 2);
    const auto put = static_cast<uint32_t>(before > e.limit);
    out -= 2 * put;
    const uint32_t state = before >> (16 * put);
    const auto quotient = static_cast<uint32_t>((state * e.reciprocal) >> 44);
    lane = state + e.start + quotient * e.complement;
  };
  size_t i = count;
  for (; i % kRansLanes != 0; --i) encode_one(ids[i - 1], x[(i - 1) % kRansLanes]);
  for (; i != 0; i -= kRansLanes) {
    for (size_t lane = kRansLanes; lane-- > 0;) encode_one(ids[i - kRansLanes + lane], x[lane]);
  }
  return out;
}

}  // namespace occ
