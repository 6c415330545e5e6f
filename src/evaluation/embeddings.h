// MEASURE: what compression does to the embeddings of an encoder, where it matters: similarities of sentences and what
// a linear classifier can read from them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "evaluation/perplexity.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace occ {

// In texts.
using TextProgress = std::function<void(uint64_t done, uint64_t total)>;

// [texts.size(), dim].
Matrix<float> embed_texts(const Encoder& encoder, const Tokenizer& tokenizer, std::span<const std::string> texts,
                          const TextProgress& progress = {});

// Sentence pairs: two texts a line with a tab between them; a line without a tab is paired with the next line. Input
// error that names file and line.
std::vector<std::pair<std::string, std::string>> read_pairs(const std::filesystem::path& path);

// Cosine of rows i of a and b, each [n, dim]; 0 where a row is zero.
std::vector<double> row_cosines(MatrixView<const float> a, MatrixView<const float> b);

// Spearman's rank correlation: the linear correlation of ranks, equal values share their mean rank. NaN if either is
// constant.
double spearman(std::span<const double> a, std::span<const double> b);

struct LabelledTexts {
  std::vector<std::string> texts;
  std::vector<size_t> labels;
};
// A number below 1,000, a space or tab and a text on each line. Input error that names file and line.
LabelledTexts read_labelled(const std::filesystem::path& path);

// Accuracy on the test rows of multinomial logistic regression on standardised features, fitted to the training rows
// with an L2 penalty of 1/2 |W|^2 on the summed log-likelihood (the default of scikit-learn) by accelerated gradient
// descent (Nesterov 1983) to a gradient of 1e-4 per row, at most 2,000 steps.
Mean probe_accuracy(MatrixView<const float> train, std::span<const size_t> train_labels, MatrixView<const float> test,
                    std::span<const size_t> test_labels);

}  // namespace occ
