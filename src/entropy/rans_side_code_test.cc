#include "entropy/rans_side_code.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "io/expect_error_for_test.h"

namespace occ {
namespace {

// Counts of a two-sided geometric distribution around id center / 2.
RansCounts two_sided(double decay, uint32_t center, uint64_t total) {
  RansCounts counts{};
  for (uint32_t id = 0; id < 256; ++id) {
    const double distance = std::fabs(2.0 * id - center) / 2;
    counts[id] = static_cast<uint64_t>(static_cast<double>(total) * std::pow(decay, distance));
  }
  return counts;
}

TEST(RansSideCode, TablesComeBackWithAndWithoutMirrors) {
  const RansSplit split{65536, 0, 32640};
  Rng rng(5);
  std::vector<RansTable> tables;
  for (int i = 0; i < 12; ++i) {
    RansCounts counts = two_sided(0.3 + 0.05 * i, 256 - i % 2, 10000);
    for (uint64_t& n : counts) n += i % 3 == 0 ? rng.below(3) : 0;
    tables.push_back(i == 5 ? tables.back() : RansTable::fit(counts, split));
  }
  for (const std::vector<uint32_t>& mirrors :
       std::vector<std::vector<uint32_t>>{{0}, {257}, {257, 256}, {0, 256}, {1}, {512}, {511, 2}}) {
    RangeEncoder out;
    put_tables(tables, mirrors, split.window(), out);
    const Bytes bytes = out.take();
    RangeDecoder in(bytes, "test");
    EXPECT_TRUE(get_tables(tables.size(), mirrors, split, in) == tables);
    in.expect_done();
    for (size_t i = 0; i < bytes.size(); i += 7) {  // damaged bytes give an error or other tables
      Bytes bad = bytes;
      bad[i] ^= 0x10;
      RangeDecoder damaged(bad, "test");
      try {
        const auto other = get_tables(tables.size(), mirrors, split, damaged);
        damaged.expect_done();
        EXPECT_FALSE(other == tables);
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput);
      }
    }
  }
}

TEST(RansSideCode, MirrorsAreFoundAndHalveTheTables) {
  const RansSplit split{65536, 0, 32640};
  std::vector<RansCounts> cells;
  Rng rng(6);
  for (int i = 0; i < 8; ++i) {
    cells.push_back(two_sided(0.9, 256 - i % 2, 4000));  // two contexts, symmetric about the ids 128 and 127.5
    for (uint64_t& n : cells.back()) n += rng.below(1 + n / 8);
  }
  const std::vector<uint32_t> mirrors = find_mirrors(cells, 2, split.window());
  EXPECT_EQ(mirrors, (std::vector<uint32_t>{257, 256}));
  const auto bytes_of = [&](std::span<const RansCounts> counts, std::span<const uint32_t> about) {
    std::vector<RansTable> tables;
    for (const RansCounts& c : counts) tables.push_back(RansTable::fit(c, split));
    RangeEncoder out;
    put_tables(tables, about, split.window(), out);
    return out.take().size();
  };
  const std::vector<uint32_t> none(2);
  const auto symmetric = add_mirror_images(cells, mirrors, split.window());
  EXPECT_LT(bytes_of(symmetric, mirrors), 0.65 * static_cast<double>(bytes_of(cells, none)));
  RansCounts one_sided{};
  for (uint32_t id = 0; id < 100; ++id) one_sided[id] = 1000 - 10 * id;
  EXPECT_EQ(find_mirrors(std::vector<RansCounts>{one_sided}, 1, split.window()), (std::vector<uint32_t>{0}));
}

TEST(RansSideCode, IdsComeBack) {
  Rng rng(7);
  for (const uint32_t num : {2u, 3u, 41u, 256u}) {
    std::vector<uint8_t> ids(700);
    for (uint8_t& id : ids) id = static_cast<uint8_t>(rng.below(num));
    RangeEncoder out;
    put_ids(ids, num, out);
    const Bytes bytes = out.take();
    RangeDecoder in(bytes, "test");
    EXPECT_EQ(get_ids(ids.size(), num, in), ids);
    in.expect_done();
  }
}

}  // namespace
}  // namespace occ
