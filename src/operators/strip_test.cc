// Strips against plain loops over their integers, exactly, on every SIMD path.
#include "operators/strip.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "occ/matrix.h"
#include "operators/gemm_vnni.h"
#include "operators/segment_dots.h"
#include "quantization/trellis_code.h"
#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

// A strip of random codes and states, made lane by lane.
struct RandomStrip {
  RandomStrip(size_t rows, unsigned chains, unsigned bits, unsigned state_planes, bool largest = false) {
    strip.rows = rows;
    strip.chains = chains;
    strip.bits = bits;
    strip.state_planes = state_planes;
    data = Matrix<uint8_t>(1, strip.bytes() + kLineBytes);
    strip.data = data.data();
    k = Matrix<int32_t>(kPanelRows, strip.width());
    Rng rng(rows + chains * 100 + bits * 1000 + state_planes);
    std::vector<uint32_t> states(kStripColumns);
    for (size_t lane = 0; lane < kStripColumns && state_planes != 0; ++lane) {
      states[lane] = static_cast<uint32_t>(rng.below(uint64_t{1} << state_planes));
      for (size_t p = 0; p < state_planes; ++p) {
        data.data()[p * kLineBytes + lane % kLineBytes] |=
            static_cast<uint8_t>((states[lane] >> p & 1) << lane / kLineBytes);
      }
    }
    for (size_t t = 0; t < strip.steps(); ++t) {
      uint8_t codes[kStripColumns];
      for (size_t lane = 0; lane < kStripColumns; ++lane) {
        codes[lane] = static_cast<uint8_t>(largest ? (1u << bits) - 1 : rng.below(uint64_t{1} << bits));
        int32_t& value = k(t + lane / strip.width() * strip.steps(), lane % strip.width());
        value = codes[lane];
        if (state_planes == 0) continue;
        value = 2 * codes[lane] + static_cast<int32_t>(states[lane] & 1);
        states[lane] = trellis_code(1u << state_planes).next(states[lane], codes[lane] & 1u);
      }
      pack_step(codes, bits, state_planes != 0, data.data() + (state_planes + t * bits) * kLineBytes);
    }
    end_states = states;
  }

  Strip strip;
  Matrix<uint8_t> data;
  Matrix<int32_t> k;  // by row, those of padding included
  std::vector<uint32_t> end_states;
};

// Calls body for strips of all kinds.
template <typename Body>
void for_each_strip(const Body& body) {
  for (const unsigned planes : {0u, 2u, 3u, 4u, 5u, 6u, 7u, 8u}) {
    for (unsigned bits = 0; bits <= (planes == 0 ? 8u : 7u); ++bits) {
      for (const unsigned chains : {1u, 2u, 4u, 8u}) {
        if (planes > 3 && planes != 6 && bits != 4) continue;  // the walk does not depend on the other planes
        const size_t rows = (bits + chains + planes) % 3 == 0 ? 37 : kPanelRows;
        SCOPED_TRACE(testing::Message() << planes << " planes of states, " << bits << " bits, " << chains << " chains, "
                                        << rows << " rows");
        body(rows, chains, bits, planes);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(Strip, CodesComeBackAndStatesAreWalked) {
  for_each_strip([](size_t rows, unsigned chains, unsigned bits, unsigned planes) {
    const RandomStrip s(rows, chains, bits, planes);
    for_each_simd_path([&] {
      Matrix<uint8_t> out(kPanelRows, kStripColumns), states(1, kMostStatePlanes * kLineBytes);
      unpack_strip(s.strip, out.data());
      for (size_t r = 0; r < s.strip.steps() * chains; ++r) {
        for (size_t c = 0; c < s.strip.width(); ++c) ASSERT_EQ(out(r, c), s.k(r, c)) << r << " " << c;
      }
      if (planes == 0) return;
      std::copy_n(s.strip.data, planes * kLineBytes, states.data());
      walk_states(s.strip, s.strip.steps(), states.data(), nullptr);
      for (size_t lane = 0; lane < kStripColumns; ++lane) {
        uint32_t state = 0;
        for (size_t p = 0; p < planes; ++p) {
          state |= (states.data()[p * kLineBytes + lane % kLineBytes] >> lane / kLineBytes & 1u) << p;
        }
        ASSERT_EQ(state, s.end_states[lane]) << lane;
      }
    });
  });
}

// Sums are exact: scales are powers of two, and extreme activations meet the largest integers.
TEST(Strip, DotsAreExact) {
  for (const bool extreme : {false, true}) {
    for_each_strip([&](size_t rows, unsigned chains, unsigned bits, unsigned planes) {
      const RandomStrip s(rows, chains, bits, planes, extreme);
      const size_t width = s.strip.width();
      for (const size_t count : {size_t{1}, size_t{3}}) {
        Matrix<int8_t> x(count, kStripColumns);
        Rng rng(count);
        for (size_t i = 0; i < x.size(); ++i) {
          x.data()[i] = static_cast<int8_t>(extreme ? 127 - 254 * static_cast<int>(i / width % 2)
                                                    : static_cast<int>(rng.below(255)) - 127);
        }
        for_each_simd_path([&] {
          Matrix<float> sums(2 * kPanelRows, kSumLanes);  // the last two inputs share theirs
          std::vector<StripInput> inputs;
          for (size_t n = 0; n < count; ++n) {
            inputs.push_back({x.row(n), {1.0f + static_cast<float>(n), 0.5f}, sums.row(n == 0 ? 0 : kPanelRows)});
          }
          for (size_t i = 0; i < sums.size(); ++i) sums.data()[i] = 2;
          strip_dots(s.strip, inputs);
          for (size_t target = 0; target < std::min<size_t>(count, 2); ++target) {
            float y[kPanelRows];
            sum_lanes(sums.row(target * kPanelRows), y);
            for (size_t r = 0; r < rows; ++r) {
              double expected = 2 * double{kSumLanes};
              for (size_t n = target; n < (target == 0 ? 1 : count); ++n) {
                for (size_t c = 0; c < width; ++c) {
                  expected += double{inputs[n].scales[c / kBlockColumns]} * s.k(r, c) * x(n, c);
                }
              }
              // Beyond 2^24 floats round.
              ASSERT_NEAR(y[r], expected, extreme ? 1e-6 * std::fabs(expected) : 0)
                  << "row " << r << ", " << count << " inputs";
            }
          }
        });
      }
    });
  }
}

// Tiles of all widths and groups of inputs, also such that are not full, exactly.
TEST(Strip, DotsOfTiles) {
  if (!use_vnni()) GTEST_SKIP() << "needs AVX-512 VNNI";
  Rng rng(1);
  for (const size_t width : {64u, 128u, 256u, 512u}) {
    for (const uint8_t shift : {0, 96}) {
      for (const size_t count : {1u, 4u, 7u, 12u, 21u, 24u}) {
        Matrix<uint8_t> k(kPanelRows, kStripColumns), tile(kPanelRows, kStripColumns);
        for (size_t i = 0; i < k.size(); ++i) k.data()[i] = static_cast<uint8_t>(rng.below(256));
        const size_t groups = (count + kGroupInputs - 1) / kGroupInputs, stride = (width + 64) * kGroupInputs;
        Matrix<int8_t> x(groups, stride);
        for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<int8_t>(static_cast<int>(rng.below(255)) - 127);
        Matrix<float> scales(groups, 5 * kGroupInputs), y(groups * kGroupInputs, kPanelRows);
        for (size_t i = 0; i < scales.size(); ++i) scales.data()[i] = static_cast<float>(1 + i % 3);
        for (size_t i = 0; i < y.size(); ++i) y.data()[i] = 4;
        make_tile_vnni(k.data(), width, shift, tile.data());
        tile_dots_vnni({tile.data(), width, count, x.data(), stride, scales.data(), scales.cols(), y.data()});
        for (size_t b = 0; b < count; ++b) {
          const int8_t* xb = x.row(b / kGroupInputs) + b % kGroupInputs * 4;
          for (size_t r = 0; r < kPanelRows; ++r) {
            double expected = 4;
            for (size_t c = 0; c < width; ++c) {
              const auto value = static_cast<uint8_t>(k(r, c) + shift);
              expected += double{scales(b / kGroupInputs, c / kBlockColumns * kGroupInputs + b % kGroupInputs)} *
                          value * xb[c / 4 * kGroupInputs * 4 + c % 4];
            }
            ASSERT_EQ(y(b, r), expected) << width << " " << count << " " << b << " " << r;
          }
        }
      }
    }
  }
}

TEST(Strip, DotsBySegment) {
  Rng rng(1);
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (const bool extreme : {false, true}) {
      const size_t rows = bits % 2 == 0 ? 37 : kPanelRows, batch = 3;
      Matrix<uint8_t> k(kPanelRows, kStripColumns);
      Matrix<int8_t> x(batch, kBlockColumns);
      for (size_t i = 0; i < k.size(); ++i) {
        k.data()[i] = static_cast<uint8_t>(extreme ? (1u << bits) - 1 : rng.below(uint64_t{1} << bits));
      }
      for (size_t i = 0; i < x.size(); ++i) {
        x.data()[i] = static_cast<int8_t>(extreme ? 127 : static_cast<int>(rng.below(255)) - 127);
      }
      const std::vector<float> scales = {1, 2, 4};
      for (const size_t cols : {64u, 128u, 256u}) {
        for (size_t segment = 32; segment <= cols; segment *= 2) {
          Matrix<float> factors(rows + 1, 9);
          for (size_t i = 0; i < factors.size(); ++i) factors.data()[i] = static_cast<float>(i % 2);
          for_each_simd_target([&] {
            Matrix<float> y(batch, kPanelRows);
            for (size_t i = 0; i < y.size(); ++i) y.data()[i] = 4;
            segment_dots({k.data() + kBlockColumns, rows, cols, (1u << bits) - 1, batch, x.data(), x.cols(),
                          scales.data(), 1, y.data()},
                         segment, factors.data(), factors.cols());
            for (size_t b = 0; b < batch; ++b) {
              for (size_t r = 0; r < rows; ++r) {
                double total = 0;
                for (size_t c = 0; c < cols; ++c) {
                  total += k(r, kBlockColumns + c) * x(b, c) * factors(r, c / segment);
                }
                ASSERT_EQ(y(b, r), 4 + scales[b] * total) << bits << " " << cols << " " << segment;
              }
            }
          });
        }
      }
    }
  }
}

}  // namespace
}  // namespace occ
