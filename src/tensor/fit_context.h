// What a stage may use while it is fitted to one tensor, besides the values themselves.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "occ/matrix.h"

namespace occ {

inline constexpr int kDefaultEffort = 3;

struct FitContext {
  uint64_t seed = 0;
  int effort = kDefaultEffort;            // 1 to 9: time that a fit may take for better codes
  MatrixView<const double> hessian{};     // [cols, cols] second moments E[x x^T] of the inputs, or empty
  std::span<const double> row_weights{};  // [rows] what a squared error of a row costs, mean 1; empty: all alike
  // [rows, block] what an error e of row s adds to the target of a later row r of its block of rows, element (s, r mod
  // block) times e: rows may be coded from first to last with error feedback, too. Empty: none.
  MatrixView<const float> row_gains{};
  double damping = 0.01;                          // added to the diagonal of H, in units of its mean
  bool feedback = true;                           // columns may be coded with error feedback, where there is a hessian
  std::span<const double> feedback_scales{};      // [cols]: L_ii of H + damping = L L^T where columns are coded from
                                                  // last to first with error feedback; empty: no feedback
  std::vector<std::string>* fallbacks = nullptr;  // one line for everything that was done differently than asked

  void report_fallback(std::string line) const {
    if (fallbacks != nullptr) fallbacks->push_back(std::move(line));
  }
};

// Columns and rows that a stage codes as one: rectangles given to it start at multiples and span multiples (or reach
// the end). 0: all of them.
struct Granule {
  size_t rows = 1;
  size_t cols = 1;
};

}  // namespace occ
