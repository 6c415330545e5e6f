#include "operators/integer_weight.h"

#include <algorithm>

namespace occ {

void put_rows(const IntegerWeight& w, size_t panel, const float* dots, float sum, float* y) {
  const Factors& f = w.factors;
  const size_t row = w.integers->first_row(panel), rows = w.integers->panel_rows(panel);
  for (size_t r = 0; r < rows; ++r) {
    const float zero = f.zeros.empty() ? f.common_zero : f.zeros[row + r];
    const float total = dots[r] - zero * sum;
    y[row + r] = f.rows.empty() ? total : total * f.rows[row + r];
  }
}

std::vector<std::vector<StripOutlier>> outliers_by_strip(const PackedIntegers& integers,
                                                         const std::vector<std::vector<Outlier>>& outliers) {
  std::vector<std::vector<StripOutlier>> out(integers.strips());
  for (size_t b = 0; b < outliers.size(); ++b) {
    for (const Outlier& o : outliers[b]) {
      const size_t strip = integers.strip_of(o.col);
      const auto col = static_cast<uint32_t>(o.col - integers.first_column(strip));
      out[strip].push_back({col, static_cast<uint32_t>(b), o.value});
    }
  }
  for (auto& list : out) {
    std::sort(list.begin(), list.end(), [](const StripOutlier& i, const StripOutlier& j) {
      return i.col != j.col ? i.col < j.col : i.input < j.input;
    });
  }
  return out;
}

}  // namespace occ
