// Sums over tokens from which second moments of activations follow: H = E[z z^T] of the inputs z of a linear layer, and
// the cross moments C = E[x z^T] with the inputs x that the same layer had in the original model.
#pragma once

#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

// sum [n, n] += x^T y for x, y [tokens, n]. Products are made in f32 over panels of tokens, panels are added in f64.
// Where x and y are the same rows in memory, only the lower triangle (by tiles) is computed.
void add_moment(MatrixView<const float> x, MatrixView<const float> y, MatrixView<double> sum);

// sum *= scale; `symmetric`: the lower triangle is then copied to the upper one.
void finish_moment(double scale, bool symmetric, MatrixView<double> sum);

// Second moments of the inputs of a linear layer, and cross moments if `crossed`.
class MomentSum {
 public:
  // token_roots: square root of the weight of every token, by its number; empty: all tokens count alike.
  MomentSum(size_t width, std::vector<float> token_roots, bool crossed);
  // z: inputs of the tokens `numbers`, one row each; x [all tokens, width]: inputs that all tokens had in the original
  // model (not read unless `crossed`).
  void add(std::span<const size_t> numbers, MatrixView<const float> x, MatrixView<const float> z);
  // Turns the sums into means over the tokens.
  void average();

  size_t tokens = 0;  // so far
  Matrix<double> h, cross;

 private:
  std::vector<float> roots_;
  bool crossed_;
};

double mean_diagonal(MatrixView<const double> h);

// K = (C - H) (H + d I)^-1, the linear map for which W x is approximated best by (W + W K) z. The damping d falls as
// the number of tokens grows. Empty if the matrix cannot be inverted.
Matrix<float> correction_of(MatrixView<const double> c, MatrixView<const double> h, size_t tokens);

// Moments of few tokens fit these tokens better than they fit others. So some white inputs of the same mean energy are
// averaged in: as many as the layer has inputs if there are few tokens, fewer and fewer beyond 64 tokens per input. Where
// there is no token, the moments become those of white inputs (docs/explanation/calibration.md, "Few tokens").
void add_white(size_t tokens, MatrixView<double> h);

}  // namespace occ
