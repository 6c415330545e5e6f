#include "quantization/trellis_feedback.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "quantization/trellis_kernels.h"

namespace occ {
namespace {

constexpr float kLargest = 65530;  // limit of the targets, so that j fits into 16 bits
constexpr size_t kRenormalize = 64;

// What is kept for the states while a column is coded.
template <size_t kStates>
struct Survivors {
  float metrics[kStates], next[kStates];
  float errors[TrellisFeedback::kWindow][kStates];  // x - k of row t at index t mod kWindow
  float targets[kStates], costs[2][kStates], k[2][kStates];
  uint8_t previous[kStates];
};

// Computes the two branches of every state.
template <size_t kStates>
void branch(Survivors<kStates>& s, float shrink, int32_t offset, const float* table, float lambda) {
  for (size_t i = 0; i < kStates; ++i) {
    const float v = std::clamp(s.targets[i], -kLargest, kLargest);
    const int32_t k0 = static_cast<int32_t>(std::floor(v * shrink)) - 1;
    for (int32_t b = 0; b < 2; ++b) {
      const int32_t k = k0 + ((static_cast<int32_t>(i & 1) + 2 * b - k0) & 3);
      const float error = v - static_cast<float>(k);
      const float bits = table[offset + std::clamp(k, -kTrellisReach, kTrellisReach)];
      s.costs[b][i] = s.metrics[i] + (error * error + lambda * bits);
      s.k[b][i] = static_cast<float>(k);
    }
  }
}

}  // namespace

TrellisFeedback::TrellisFeedback(MatrixView<const float> gains)
    : gains_(Matrix<float>::uninitialized(gains.rows(), gains.cols())), recent_(gains.rows(), kWindow) {
  for (size_t s = 0; s < gains.rows(); ++s) {
    std::copy_n(gains.row(s), gains.cols(), gains_.row(s));
    const size_t first = s - s % gains.cols(), last = std::min(gains.rows(), first + gains.cols());
    for (size_t r = s + 1; r < std::min(last, s + 1 + kWindow); ++r) recent_(r, r - 1 - s) = gains(s, r - first);
  }
}

template <size_t kStates>
void TrellisFeedback::walk_states(const TrellisCode& code, size_t row, size_t n, float shrink, const int32_t* offsets,
                                  const float* table, float lambda, float* x) const {
  const size_t block = gains_.cols();
  Survivors<kStates> s;
  std::fill_n(s.metrics, kStates, 1e30f);
  s.metrics[0] = 0;
  std::vector<float> targets(x, x + n);  // the values plus the feedback of rows before the window
  std::vector<float> chosen(n * kStates);
  std::vector<uint8_t> from(n * kStates);
  for (size_t t = 0; t < n; ++t) {
    std::fill_n(s.targets, kStates, targets[t]);
    const float* recent = recent_.row(row + t);
    for (size_t lag = 1; lag <= std::min(kWindow, t); ++lag) {
      const float gain = recent[lag - 1];
      const float* errors = s.errors[(t - lag) % kWindow];
      for (size_t i = 0; i < kStates; ++i) s.targets[i] += gain * errors[i];
    }
    branch(s, shrink, offsets[t], table, lambda);
    for (uint32_t i = 0; i < kStates; ++i) {
      const uint32_t zero = code.previous(i, 0), one = code.previous(i, 1);
      const bool second = s.costs[1][one] < s.costs[0][zero];
      s.next[i] = second ? s.costs[1][one] : s.costs[0][zero];
      s.previous[i] = static_cast<uint8_t>(second ? one : zero);
      chosen[t * kStates + i] = second ? s.k[1][one] : s.k[0][zero];
    }
    std::copy_n(s.previous, kStates, from.data() + t * kStates);
    if (t >= kWindow) {  // the oldest row leaves the window
      const size_t best = static_cast<size_t>(std::min_element(s.next, s.next + kStates) - s.next);
      const float error = s.errors[t % kWindow][s.previous[best]];
      const size_t old = row + t - kWindow, first = old - old % block;
      const size_t end = std::min(row + n, std::min(gains_.rows(), first + block));
      const float* gains = gains_.row(old);
      for (size_t r = row + t + 1; r < end; ++r) targets[r - row] += gains[r - first] * error;
    }
    for (size_t lag = 1; lag <= std::min(kWindow - 1, t); ++lag) {
      float* errors = s.errors[(t - lag) % kWindow];
      float moved[kStates];
      for (size_t i = 0; i < kStates; ++i) moved[i] = errors[s.previous[i]];
      std::copy_n(moved, kStates, errors);
    }
    for (size_t i = 0; i < kStates; ++i) s.errors[t % kWindow][i] = x[t] - chosen[t * kStates + i];
    const float base = t % kRenormalize == kRenormalize - 1 ? s.next[0] : 0;
    for (size_t i = 0; i < kStates; ++i) s.metrics[i] = s.next[i] - base;
  }
  size_t state = static_cast<size_t>(std::min_element(s.metrics, s.metrics + kStates) - s.metrics);
  for (size_t t = n; t-- > 0;) {
    x[t] = chosen[t * kStates + state];
    state = from[t * kStates + state];
  }
}

void TrellisFeedback::walk(const TrellisCode& code, size_t row, size_t n, float shrink, const int32_t* offsets,
                           const float* table, float lambda, float* x) const {
  switch (code.states) {
    case 4:
      return walk_states<4>(code, row, n, shrink, offsets, table, lambda, x);
    case 8:
      return walk_states<8>(code, row, n, shrink, offsets, table, lambda, x);
    case 16:
      return walk_states<16>(code, row, n, shrink, offsets, table, lambda, x);
    case 32:
      return walk_states<32>(code, row, n, shrink, offsets, table, lambda, x);
    case 64:
      return walk_states<64>(code, row, n, shrink, offsets, table, lambda, x);
    case 128:
      return walk_states<128>(code, row, n, shrink, offsets, table, lambda, x);
    default:
      OCC_CHECK(code.states == 256);
      walk_states<256>(code, row, n, shrink, offsets, table, lambda, x);
  }
}

}  // namespace occ
