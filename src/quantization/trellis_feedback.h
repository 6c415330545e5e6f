// Walks of `trellis` with error feedback from row to row: what is coded at row r is
//   v_r = x_r + sum_{s < r} gain(s, r) (x_s - k_s)
// and k_s depends on the walk, so every survivor has its own v_r (per-survivor processing; Raheli, Polydoros & Tzou
// 1995). Survivors differ in their last values only: errors of the last kWindow rows are kept by state, those before
// as the best survivor has them.
//
// Costs per value some kWindow * states operations and half a block of rows for the rest. Encoder only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "occ/matrix.h"
#include "quantization/trellis_code.h"

namespace occ {

class TrellisFeedback {
 public:
  static constexpr size_t kWindow = 32;

  // gains [rows, block]: gain(s, r) at (s, r mod block) for rows s < r of one block (FitContext::row_gains).
  explicit TrellisFeedback(MatrixView<const float> gains);

  // The column of a tile that begins with row `row`: x [n] in steps -> the integers k, in place. The rest as
  // trellis_branches and trellis_viterbi have it.
  void walk(const TrellisCode& code, size_t row, size_t n, float shrink, const int32_t* offsets, const float* table,
            float lambda, float* x) const;

 private:
  template <size_t kStates>
  void walk_states(const TrellisCode& code, size_t row, size_t n, float shrink, const int32_t* offsets,
                   const float* table, float lambda, float* x) const;

  Matrix<float> gains_;
  Matrix<float> recent_;  // [rows, kWindow]: gain(r - 1 - i, r)
};

}  // namespace occ
