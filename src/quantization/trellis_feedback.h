// The Viterbi search of `trellis` with error feedback from row to row. The value coded at row r is
//   v_r = x_r + sum_{s < r} gain(s, r) (x_s - k_s)
// and k_s depends on the path through the trellis, so every surviving path has its own v_r (per-survivor processing;
// Raheli, Polydoros & Tzou 1995). Surviving paths differ in their last values only: the errors of the last kWindow rows
// are kept for each state, and earlier errors are those of the best path.
//
// Cost per value: about kWindow * states operations, and half a block of rows for the earlier errors. Encoder only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "occ/matrix.h"
#include "quantization/trellis_code.h"

namespace occ {

class TrellisFeedback {
 public:
  static constexpr size_t kWindow = 32;

  // gains [rows, block] holds gain(s, r) at (s, r mod block) for rows s < r of the same block (FitContext::row_gains).
  explicit TrellisFeedback(MatrixView<const float> gains);

  // Codes one column of a tile that begins with row `row`. Replaces the n values x, in units of the step, by the
  // integers k. The other parameters are those of trellis_branches and trellis_viterbi.
  void walk(const TrellisCode& code, size_t row, size_t n, float shrink, const int32_t* offsets, const float* table,
            float lambda, float* x) const;

 private:
  template <size_t kStates>
  void walk_states(const TrellisCode& code, size_t row, size_t n, float shrink, const int32_t* offsets,
                   const float* table, float lambda, float* x) const;

  Matrix<float> gains_;
  Matrix<float> recent_;  // [rows, kWindow] gain(r - 1 - i, r)
};

}  // namespace occ
