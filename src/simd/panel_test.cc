#include "simd/panel.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "simd/for_each_target_for_test.h"

namespace occ {
namespace {

TEST(Panel, RowsAndColumnsInAndOut) {
  for_each_simd_target([&] {
    for (const size_t n : {0, 1, 3, 4, 16, 17, 31, 100}) {
      for (size_t lanes = 0; lanes <= kPanelLanes; ++lanes) {
        Matrix<float> store(lanes, n + 5), across(n, lanes + 5);
        std::iota(store.data(), store.data() + store.size(), 1.0f);
        std::iota(across.data(), across.data() + across.size(), 1.0f);
        const auto x = store.view().sub({0, 2, lanes, n});
        const auto y = across.view().sub({0, 2, n, lanes});
        std::vector<float> rows(n * kPanelLanes, -1.0f), columns(n * kPanelLanes, -1.0f);
        load_panel_rows(x, rows.data());
        load_panel_columns<float>(y, columns.data());
        for (size_t i = 0; i < n; ++i) {
          for (size_t v = 0; v < kPanelLanes; ++v) {
            ASSERT_EQ(rows[i * kPanelLanes + v], v < lanes ? x(v, i) : 0.0f);
            ASSERT_EQ(columns[i * kPanelLanes + v], v < lanes ? y(i, v) : 0.0f);
          }
        }
        Matrix<float> back(lanes, n + 5), back_across(n, lanes + 5);
        store_panel_rows(rows.data(), back.view().sub({0, 2, lanes, n}));
        store_panel_columns(columns.data(), back_across.view().sub({0, 2, n, lanes}));
        for (size_t r = 0; r < lanes; ++r) {
          for (size_t c = 0; c < n + 5; ++c) ASSERT_EQ(back(r, c), c < 2 || c >= n + 2 ? 0.0f : store(r, c));
        }
        for (size_t r = 0; r < n; ++r) {
          for (size_t c = 0; c < lanes + 5; ++c)
            ASSERT_EQ(back_across(r, c), c < 2 || c >= lanes + 2 ? 0.0f : across(r, c));
        }
      }
    }
  });
}

}  // namespace
}  // namespace occ
