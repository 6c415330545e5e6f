#include "simd/trig.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/hash.h"

namespace occ {
namespace {

TEST(Trig, WithinOneInTenToTheFifteenOfLibm) {
  for (const uint64_t b : {1, 2, 3, 4, 7, 64, 331, 4096, 5632, 131071}) {
    for (uint64_t a = 0; a <= 4 * b; a += 1 + a / 1500) {
      const long double angle =
          std::numbers::pi_v<long double> * static_cast<long double>(a) / static_cast<long double>(b);
      ASSERT_NEAR(cos_pi(a, b), static_cast<double>(std::cos(angle)), 1e-15) << a << "/" << b;
      ASSERT_NEAR(sin_pi(a, b), static_cast<double>(std::sin(angle)), 1e-15) << a << "/" << b;
    }
  }
}

TEST(Trig, ExactWhereItCanBe) {
  EXPECT_EQ(cos_pi(0, 5), 1.0);
  EXPECT_EQ(cos_pi(1, 2), 0.0);
  EXPECT_EQ(cos_pi(7, 7), -1.0);
  EXPECT_EQ(sin_pi(5, 5), 0.0);
  EXPECT_EQ(sin_pi(3, 2), -1.0);
  for (uint64_t a = 0; a < 640; ++a) {
    EXPECT_EQ(cos_pi(a, 160), cos_pi(a + 320, 160));
    EXPECT_EQ(cos_pi(a, 160), -cos_pi(a + 160, 160));
    EXPECT_EQ(sin_pi(a, 160), cos_pi(a + 240, 160));  // sin t = cos(t - pi / 2)
  }
}

// Archives depend on these tables: a changed hash is a changed file format.
TEST(Trig, TablesArePinned) {
  const auto table_hash = [](uint64_t n) {
    std::vector<double> table;
    for (uint64_t a = 0; a < 2 * n; ++a) {
      table.push_back(cos_pi(a, n));
      table.push_back(sin_pi(a, n));
    }
    return hash_hex(hash64(table.data(), table.size() * sizeof(double)));
  };
  EXPECT_EQ(table_hash(16), "0db9500d4cf833c7");
  EXPECT_EQ(table_hash(1324), "6506e6fc773eb53d");
  EXPECT_EQ(table_hash(16384), "f0002afc7e9e407e");
}

}  // namespace
}  // namespace occ
