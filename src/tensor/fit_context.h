// The information that a stage may use, besides the values, while it is fitted to one tensor.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "occ/matrix.h"

namespace occ {

inline constexpr int kDefaultEffort = 3;

struct FitContext {
  uint64_t seed = 0;  // the seed of all random choices
  // From 1 to 9. A higher effort lets the fit take more time to find better codes.
  int effort = kDefaultEffort;
  // H = E[x x^T] [cols, cols], the second moments of the inputs x of the operator y = W x. Empty if they are not known.
  MatrixView<const double> hessian{};
  // [rows] the weight of a squared error in each row; the mean of the weights is 1. Empty if all rows have the same
  // weight.
  std::span<const double> row_weights{};
  // [rows, block] the gains of error feedback from row to row: an error e in row s adds element (s, r mod block) times
  // e to the target of every later row r of the same block of rows. Empty if there is no such feedback.
  MatrixView<const float> row_gains{};
  // The number that is added to the diagonal of H before H is factored, in units of the mean of the diagonal.
  double damping = 0.01;
  // Whether columns may be coded with error feedback if there is an H.
  bool feedback = true;
  // [cols] the diagonal elements L_ii of the lower triangular factor L, where L L^T is the damped H. They are set for a
  // stage whose columns are coded from the last to the first with error feedback. Empty if there is no feedback.
  std::span<const double> feedback_scales{};
  // The side information of a product quantizer that was fitted before. It takes the place of a fit. Empty: none.
  std::span<const uint8_t> codebooks{};
  // Receives one line for everything that was done differently from what was asked. May be null.
  std::vector<std::string>* fallbacks = nullptr;

  void report_fallback(std::string line) const {
    if (fallbacks != nullptr) fallbacks->push_back(std::move(line));
  }
};

// The smallest block of a matrix that a stage can code independently of the rest. Rectangles that are coded on their
// own start at multiples of it, and their size is a multiple of it or they reach the end of the matrix. 0 means all
// rows, or all columns.
struct Granule {
  size_t rows = 1;
  size_t cols = 1;
};

}  // namespace occ
