// Measures what compression does to the embeddings of an encoder: to the similarities of sentences, and to what a
// linear classifier can read from the embeddings.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "evaluation/perplexity.h"
#include "occ/matrix.h"

namespace occ {

// Reads sentence pairs. A line holds two texts with a tab between them; a line without a tab forms a pair with the next
// line. Input error that names file and line.
std::vector<std::pair<std::string, std::string>> read_pairs(const std::filesystem::path& path);

// Returns [n] cosines: element i is the cosine of row i of `a` and row i of `b`, both [n, dim], and 0 where one of the
// two rows is zero.
std::vector<double> row_cosines(MatrixView<const float> a, MatrixView<const float> b);

// Spearman's rank correlation: the linear correlation of the ranks, where equal values share their mean rank. NaN if
// all values of `a` or all values of `b` are equal.
double spearman(std::span<const double> a, std::span<const double> b);

struct LabelledTexts {
  std::vector<std::string> texts;
  std::vector<size_t> labels;
};
// Reads one labelled text from each line: the label, which is a whole number below 1,000, then a space or a tab, then
// the text. Input error that names file and line.
LabelledTexts read_labelled(const std::filesystem::path& path);

// Fits a multinomial logistic regression to the training rows [n, dim] and returns its accuracy on the test rows
// [m, dim]. The features are standardised. The L2 penalty is 1/2 |W|^2 on the summed log-likelihood, the default of
// scikit-learn. The fit is accelerated gradient descent (Nesterov 1983); it ends when the norm of the gradient is
// below 1e-4 per training row, and after 2,000 steps at the latest.
Mean probe_accuracy(MatrixView<const float> train, std::span<const size_t> train_labels, MatrixView<const float> test,
                    std::span<const size_t> test_labels);

}  // namespace occ
