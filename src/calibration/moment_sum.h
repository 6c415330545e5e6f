// Sums over tokens that give the second moments of activations: H = E[z z^T] of the inputs z of a linear layer, and the
// cross moments C = E[x z^T] with the inputs x that the same layer has in the original model.
#pragma once

#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

// sum [n, n] += x^T y for x, y [tokens, n]. Products are computed in f32 over panels of tokens, and the panels are
// added in f64. If x and y are the same memory, only the lower triangle (by tiles) is computed.
void add_moment(MatrixView<const float> x, MatrixView<const float> y, MatrixView<double> sum);

// Multiplies `sum` by `scale`. If `symmetric`, then copies the lower triangle to the upper one.
void finish_moment(double scale, bool symmetric, MatrixView<double> sum);

// Sums the second moments of the inputs of a linear layer and, with `crossed`, the cross moments.
class MomentSum {
 public:
  // token_roots[i] is the square root of the weight of token i; empty: all tokens have the same weight.
  MomentSum(size_t width, std::vector<float> token_roots, bool crossed);
  // Row r of z [numbers.size(), width] has the inputs of token numbers[r] in the compressed model. x
  // [all tokens, width] has the inputs of all tokens in the original model; it is only read if `crossed`.
  void add(std::span<const size_t> numbers, MatrixView<const float> x, MatrixView<const float> z);
  // Divides the sums by the number of tokens.
  void average();

  size_t tokens = 0;  // number of tokens that were added
  Matrix<double> h, cross;

 private:
  std::vector<float> roots_;
  bool crossed_;
};

double mean_diagonal(MatrixView<const double> h);

// Returns K = (C - H) (H + d I)^-1, the linear map for which (W + W K) z approximates W x best. The damping d gets
// smaller with more tokens. Returns an empty matrix if H + d I cannot be inverted.
Matrix<float> correction_of(MatrixView<const double> c, MatrixView<const double> h, size_t tokens);

// Averages h with the second moments of white inputs of the same mean energy, because second moments of few tokens fit
// these tokens better than others. With few tokens there are as many white inputs as the layer has inputs, and fewer
// and fewer beyond 64 tokens per input. Without any token, h becomes the second moments of white inputs
// (docs/explanation/calibration.md, "Few tokens").
void add_white(size_t tokens, MatrixView<double> h);

}  // namespace occ
