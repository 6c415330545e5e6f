// What a stage may use, besides the values, while it is fitted to one tensor.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "occ/matrix.h"

namespace occ {

inline constexpr int kDefaultEffort = 3;

struct FitContext {
  uint64_t seed = 0;  // of all random choices
  // From 1 to 9: how much time a fit may take for better codes.
  int effort = kDefaultEffort;
  // H = E[x x^T] [cols, cols], the second moments of the inputs x of the operator y = W x; or empty.
  MatrixView<const double> hessian{};
  // [rows] the cost of a squared error in each row, with mean 1. Empty: all rows cost the same.
  std::span<const double> row_weights{};
  // [rows, block] gains of error feedback from row to row: an error e of row s adds element (s, r mod block) times e to
  // the target of every later row r of the same block of rows. Empty: no such feedback.
  MatrixView<const float> row_gains{};
  // What is added to the diagonal of H before it is factored, in units of the mean of the diagonal.
  double damping = 0.01;
  // Whether columns may be coded with error feedback where there is an H.
  bool feedback = true;
  // [cols] the L_ii of H + damping = L L^T for a stage whose columns are coded from last to first with error feedback.
  // Empty: no feedback.
  std::span<const double> feedback_scales{};
  // Receives one line for everything that was done differently from what was asked. Null: nobody wants to know.
  std::vector<std::string>* fallbacks = nullptr;

  void report_fallback(std::string line) const {
    if (fallbacks != nullptr) fallbacks->push_back(std::move(line));
  }
};

// The unit of rectangles that a stage can code on its own: they start at multiples of it and span multiples of it, or
// reach the end of the matrix. 0: all rows, or all columns.
struct Granule {
  size_t rows = 1;
  size_t cols = 1;
};

}  // namespace occ
