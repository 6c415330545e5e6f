// Products in double as the oracle of operators.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "operators/memory_file_for_test.h"
#include "operators/operator.h"

namespace occ {

// y(b, r) of the operator against w's in double, within limit(norm, sum |w x|): norm is |w_r| |x| / sqrt(columns), or
// that of an average row where it is larger.
template <typename Limit>
void expect_product(const Operator& op, const Matrix<float>& w, const Matrix<float>& x, const Limit& limit) {
  Matrix<float> y(x.rows(), w.rows());
  for (size_t i = 0; i < y.size(); ++i) y.data()[i] = 1e30f;  // overwritten, not added to
  op.apply(x.view(), y.view());
  double squares = 0;
  for (size_t i = 0; i < w.size(); ++i) squares += double{w.data()[i]} * double{w.data()[i]};
  size_t wrong = 0;
  for (size_t b = 0; b < x.rows(); ++b) {
    for (size_t r = 0; r < w.rows(); ++r) {
      double sum = 0, absolute = 0, ww = squares / static_cast<double>(w.rows()), xx = 0, row = 0;
      for (size_t c = 0; c < w.cols(); ++c) {
        sum += double{w(r, c)} * double{x(b, c)};
        absolute += std::fabs(double{w(r, c)} * double{x(b, c)});
        row += double{w(r, c)} * double{w(r, c)};
        xx += double{x(b, c)} * double{x(b, c)};
      }
      ww = std::max(ww, row);
      const double most = limit(std::sqrt(ww * xx / static_cast<double>(std::max<size_t>(1, w.cols()))), absolute);
      if (!(std::fabs(double{y(b, r)} - sum) <= most) && wrong++ < 3) {
        ADD_FAILURE() << op.kind() << " " << w.rows() << " x " << w.cols() << ", batch " << x.rows() << ", y(" << b
                      << ", " << r << "): expected " << sum << " within " << most << ", found " << y(b, r);
      }
    }
  }
  EXPECT_EQ(wrong, 0u);
}

// All inputs together give the same bits as each of them alone.
inline void expect_as_alone(const Operator& op, const Matrix<float>& x) {
  Matrix<float> together(x.rows(), op.shape().rows), alone(1, op.shape().rows);
  op.apply(x.view(), together.view());
  for (size_t b = 0; b < x.rows(); ++b) {
    op.apply(x.view().row_range(b, 1), alone.view());
    ASSERT_TRUE(std::equal(alone.data(), alone.data() + alone.size(), together.row(b)))
        << op.kind() << " " << op.shape().rows << " x " << op.shape().cols << ", input " << b << " of " << x.rows();
  }
}

// Rows in any order, some twice, relative to the largest value of w.
inline void expect_rows(const Operator& op, const Matrix<float>& w, double relative = 0) {
  if (w.rows() == 0) return;
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < std::min<size_t>(w.rows(), 40); ++i) {
    ids.push_back(static_cast<uint32_t>((i * 37 + 5) % w.rows()));
  }
  ids.push_back(static_cast<uint32_t>(w.rows() - 1));
  ids.push_back(0);
  Matrix<float> out(ids.size(), w.cols());
  op.rows(ids, out.view());
  double largest = 0;
  for (size_t i = 0; i < w.size(); ++i) largest = std::max(largest, std::fabs(double{w.data()[i]}));
  for (size_t i = 0; i < ids.size(); ++i) {
    for (size_t c = 0; c < w.cols(); ++c) {
      ASSERT_NEAR(out(i, c), w(ids[i], c), relative * largest) << op.kind() << ": row " << ids[i] << ", column " << c;
    }
  }
}

}  // namespace occ
