// Second moments of the inputs of a linear layer as they are and as they were, and what follows from them.
#pragma once

#include <span>
#include <vector>

#include "occ/matrix.h"

namespace occ {

// Sums of z z^T and, of x the inputs that there were, x z^T, every token with the square of its root; then their means.
class MetricSum {
 public:
  // token_roots: by number of the token; empty: ones.
  MetricSum(size_t width, std::vector<float> token_roots, bool crossed);
  // x [all tokens, n], or anything if it is not crossed; z: the rows of tokens `numbers`.
  void add(std::span<const size_t> numbers, MatrixView<const float> x, MatrixView<const float> z);
  void average();

  size_t tokens = 0;  // so far
  Matrix<double> h, cross;

 private:
  std::vector<float> roots_;
  bool crossed_;
};

double mean_diagonal(MatrixView<const double> h);

// (C - H) (H + d I)^-1 with C = E[x z^T], H = E[z z^T], x the inputs that there were and z those that there
// are: W x = (W + W K) z as nearly as a linear map can. d falls with the number of tokens. Empty if that cannot be
// solved.
Matrix<float> correction_of(MatrixView<const double> c, MatrixView<const double> h, size_t tokens);

// Moments of few tokens say more about these than about others: white inputs are added, as many as there are inputs
// to a row. All there is where no token came by. (docs/explanation/calibration.md, "Experts".)
void add_white(size_t tokens, MatrixView<double> h);

}  // namespace occ
