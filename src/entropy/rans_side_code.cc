#include "entropy/rans_side_code.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "base/error.h"

namespace occ {
namespace {

using Frequencies = std::array<uint16_t, kRansIds>;

constexpr unsigned kLongest = 13;  // largest number of bits of a frequency
constexpr unsigned kFirst = 13;    // used as the length of the neighbour of the first frequency

unsigned length_of(uint32_t frequency) { return static_cast<unsigned>(std::bit_width(frequency)); }

// The adaptive bits of all tables. Frequencies are coded from the middle to the end of the window, and then from the
// middle to its beginning.
class TableBits {
 public:
  // Codes one frequency, for an encoder or a decoder. `bit` and `raw` code bits and return them.
  template <typename Bit, typename Raw>
  uint32_t code(unsigned left, unsigned zeros, const Frequencies* above, uint32_t id, uint32_t frequency,
                const Bit& bit, const Raw& raw) {
    std::array<AdaptiveBit, kLongest>& longer = context(left, zeros, above, id);
    const unsigned wanted = length_of(frequency);
    unsigned length = 0;
    while (length < kLongest && bit(longer[length], length < wanted)) ++length;
    if (length <= 1) return length;
    const unsigned below = length - 2;
    const bool second = bit(second_[length], (frequency >> below & 1) != 0);
    return ((2 + (second ? 1u : 0u)) << below) + raw(frequency & ((1u << below) - 1), below);
  }
  AdaptiveBit repeated;
  std::array<AdaptiveBit, 2> as_image;  // [whether the mirror image is 0]

 private:
  std::array<AdaptiveBit, kLongest>& context(unsigned left, unsigned zeros, const Frequencies* above, uint32_t id) {
    if (zeros >= 2) return beyond_;
    if (above == nullptr) return first_[left];
    const unsigned up = length_of((*above)[id]);
    return later_[up == 0 ? 0 : 1][(up + left + 1) / 2];
  }

  std::array<AdaptiveBit, kLongest> beyond_;
  std::array<std::array<AdaptiveBit, kLongest>, kFirst + 1> first_;
  std::array<std::array<std::array<AdaptiveBit, kLongest>, kFirst + 1>, 2> later_;
  std::array<AdaptiveBit, kLongest + 1> second_;
};

// Codes the frequencies of one table in place. `above` has those of the table before it with the same context, or is
// null.
template <typename Bit, typename Raw>
void code_table(Frequencies& f, const Frequencies* above, uint32_t mirror, uint32_t window, TableBits& bits,
                const Bit& bit, const Raw& raw) {
  const uint32_t middle = mirror == 0 ? 0 : std::min(mirror / 2, window);  // ceil((mirror - 1) / 2)
  unsigned left = kFirst, zeros = 0;
  const auto one = [&](uint32_t id) {
    f[id] = static_cast<uint16_t>(bits.code(left, zeros, above, id, f[id], bit, raw));
    left = length_of(f[id]);
    zeros = f[id] == 0 ? zeros + 1 : 0;
  };
  for (uint32_t id = middle; id < window; ++id) one(id);
  left = middle < window ? length_of(f[middle]) : kFirst, zeros = 0;
  for (uint32_t id = middle; id-- > 0;) {
    const uint32_t image = mirror - 1 - id;
    if (image < window) {
      if (bit(bits.as_image[f[image] == 0 ? 1 : 0], f[id] == f[image])) {
        f[id] = f[image];
        continue;
      }
    }
    one(id);
  }
}

Frequencies frequencies_of(const RansTable& table) {
  Frequencies f;
  for (uint32_t id = 0; id < kRansIds; ++id) f[id] = static_cast<uint16_t>(table.frequency(id));
  return f;
}

}  // namespace

void put_ids(std::span<const uint8_t> ids, uint32_t num_ids, RangeEncoder& out) {
  AdaptiveTree tree(symbol_width(num_ids));
  for (const uint8_t id : ids) tree.put(id, out);
}

std::vector<uint8_t> get_ids(size_t count, uint32_t num_ids, RangeDecoder& in) {
  in.expect_room_for(count);
  AdaptiveTree tree(symbol_width(num_ids));
  std::vector<uint8_t> ids(count);
  for (uint8_t& id : ids) id = static_cast<uint8_t>(tree.get(in));
  return ids;
}

void put_tables(std::span<const RansTable> tables, std::span<const uint32_t> mirrors, uint32_t window,
                RangeEncoder& out) {
  TableBits bits;
  const auto bit = [&](AdaptiveBit& model, bool value) {
    out.put(model, value);
    return value;
  };
  const auto raw = [&](uint32_t value, unsigned width) {
    out.put_raw(value, width);
    return value;
  };
  std::vector<Frequencies> all;
  for (size_t cell = 0; cell < tables.size(); ++cell) {
    const size_t context = cell % mirrors.size();
    all.push_back(frequencies_of(tables[cell]));
    if (cell > 0 && bit(bits.repeated, tables[cell] == tables[cell - 1])) continue;
    code_table(all[cell], cell >= mirrors.size() ? &all[cell - mirrors.size()] : nullptr, mirrors[context], window,
               bits, bit, raw);
  }
}

std::vector<RansTable> get_tables(size_t cells, std::span<const uint32_t> mirrors, const RansSplit& split,
                                  RangeDecoder& in) {
  TableBits bits;
  const auto bit = [&](AdaptiveBit& model, bool) { return in.get(model); };
  const auto raw = [&](uint32_t, unsigned width) { return in.get_raw(width); };
  std::vector<Frequencies> all;
  std::vector<RansTable> tables;
  tables.reserve(cells);
  for (size_t cell = 0; cell < cells; ++cell) {
    const size_t context = cell % mirrors.size();
    if (cell > 0 && in.get(bits.repeated)) {
      all.push_back(all.back());
      tables.push_back(tables.back());
      continue;
    }
    Frequencies f{};
    code_table(f, cell >= mirrors.size() ? &all[cell - mirrors.size()] : nullptr, mirrors[context], split.window(),
               bits, bit, raw);
    all.push_back(f);
    tables.push_back(RansTable::of(f, split, in.what()));
  }
  return tables;
}

std::vector<uint32_t> find_mirrors(std::span<const RansCounts> cells, uint32_t contexts, uint32_t window) {
  std::vector<uint32_t> mirrors(contexts);
  for (uint32_t context = 0; context < contexts; ++context) {
    RansCounts sum{};
    uint64_t total = 0;
    for (size_t cell = context; cell < cells.size(); cell += contexts) {
      for (uint32_t id = 0; id < window; ++id) sum[id] += cells[cell][id], total += cells[cell][id];
    }
    const auto mode = static_cast<uint32_t>(std::max_element(sum.begin(), sum.begin() + window) - sum.begin());
    // With a larger difference the tables are not symmetric.
    uint64_t least = total / 4;
    for (const uint32_t mirror : {2 * mode + 1, 2 * mode, 2 * mode + 2}) {
      if (mirror == 0) continue;
      uint64_t difference = 0;
      for (uint32_t id = 0; id < window; ++id) {
        const uint32_t image = mirror - 1 - id;
        const uint64_t other = image < window ? sum[image] : 0;
        difference += sum[id] > other ? sum[id] - other : 0;
      }
      if (difference >= least) continue;
      least = difference;
      mirrors[context] = mirror;
    }
  }
  return mirrors;
}

std::vector<RansCounts> add_mirror_images(std::span<const RansCounts> cells, std::span<const uint32_t> mirrors,
                                          uint32_t window) {
  std::vector<RansCounts> out(cells.begin(), cells.end());
  for (size_t cell = 0; cell < cells.size(); ++cell) {
    const uint32_t mirror = mirrors[cell % mirrors.size()];
    if (mirror == 0) continue;
    for (uint32_t id = 0; id < window; ++id) {
      const uint32_t image = mirror - 1 - id;
      if (image < window) out[cell][id] += cells[cell][image];
    }
    out[cell][kRansEscape] *= 2;  // in proportion to the other counts
  }
  return out;
}

}  // namespace occ
