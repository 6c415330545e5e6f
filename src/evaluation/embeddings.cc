#include "evaluation/embeddings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/lines.h"
#include "base/parallel.h"

namespace occ {
namespace {

constexpr size_t kPanelTexts = 128;

// Returns the rank of every value. Ranks start at 1, and equal values share their mean rank.
std::vector<double> ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t i, size_t k) { return values[i] < values[k]; });
  std::vector<double> out(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    for (size_t k = i; k < end; ++k) out[order[k]] = 0.5 * static_cast<double>(i + end + 1);
    i = end;
  }
  return out;
}

// Scales every feature to mean 0 and variance 1 over the training rows, and adds a last feature that is always 1.
struct Standardizer {
  std::vector<double> mean, scale;

  explicit Standardizer(MatrixView<const float> x) : mean(x.cols()), scale(x.cols()) {
    const auto n = static_cast<double>(x.rows());
    for (size_t c = 0; c < x.cols(); ++c) {
      double squares = 0;
      for (size_t r = 0; r < x.rows(); ++r) mean[c] += static_cast<double>(x(r, c)) / n;
      for (size_t r = 0; r < x.rows(); ++r) {
        const double d = static_cast<double>(x(r, c)) - mean[c];
        squares += d * d / n;
      }
      scale[c] = squares > 0 ? 1 / std::sqrt(squares) : 0;
    }
  }
  Matrix<double> apply(MatrixView<const float> x) const {
    Matrix<double> out = Matrix<double>::uninitialized(x.rows(), x.cols() + 1);
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) out(r, c) = (static_cast<double>(x(r, c)) - mean[c]) * scale[c];
      out(r, x.cols()) = 1;
    }
    return out;
  }
};

double dot(const double* a, const double* b, size_t n) {
  double sums[4] = {};
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (size_t k = 0; k < 4; ++k) sums[k] += a[i + k] * b[i + k];
  }
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// Returns the gradient of -log p(label | x) with respect to W [classes, dim], summed over the rows of x. The sums of
// the panels are added in a fixed order, so that the result does not depend on the number of threads.
Matrix<double> loss_gradient(const Matrix<double>& x, std::span<const size_t> labels, const Matrix<double>& w) {
  const size_t classes = w.rows(), panels = ceil_div(x.rows(), kPanelTexts);
  std::vector<Matrix<double>> parts(panels);
  parallel_for(panels, [&](size_t p) {
    Matrix<double> part(classes, x.cols());
    std::vector<double> prob(classes);
    for (size_t r = p * kPanelTexts; r < std::min(x.rows(), (p + 1) * kPanelTexts); ++r) {
      for (size_t k = 0; k < classes; ++k) prob[k] = dot(x.row(r), w.row(k), x.cols());
      const double top = *std::max_element(prob.begin(), prob.end());
      double sum = 0;
      for (double& v : prob) sum += v = std::exp(v - top);
      for (size_t k = 0; k < classes; ++k) {
        const double d = prob[k] / sum - (labels[r] == k ? 1 : 0);
        for (size_t c = 0; c < x.cols(); ++c) part(k, c) += d * x(r, c);
      }
    }
    parts[p] = std::move(part);
  });
  Matrix<double> out(classes, x.cols());
  for (const Matrix<double>& part : parts) {
    for (size_t i = 0; i < out.size(); ++i) out.data()[i] += part.data()[i];
  }
  return out;
}

// Returns an upper estimate of the curvature of the loss. The curvature is at most half of the largest eigenvalue of
// x^T x, which is found by power iteration and raised by 5 % because the iteration approaches it from below.
double largest_curvature(const Matrix<double>& x) {
  std::vector<double> v(x.cols(), 1 / std::sqrt(static_cast<double>(x.cols())));
  double value = 0;
  for (int i = 0; i < 30; ++i) {
    std::vector<double> next(x.cols());
    for (size_t r = 0; r < x.rows(); ++r) {
      const double d = dot(x.row(r), v.data(), x.cols());
      for (size_t c = 0; c < x.cols(); ++c) next[c] += d * x(r, c);
    }
    value = std::sqrt(dot(next.data(), next.data(), next.size()));
    if (value == 0) return 0;
    for (size_t c = 0; c < v.size(); ++c) v[c] = next[c] / value;
  }
  return 0.5 * 1.05 * value;
}

Matrix<double> fit_probe(const Matrix<double>& x, std::span<const size_t> labels, size_t classes) {
  Matrix<double> w(classes, x.cols()), ahead(classes, x.cols());
  const double step = 1 / (largest_curvature(x) + 1);
  double momentum = 1;
  for (int i = 0; i < 2000; ++i) {
    const Matrix<double> gradient = loss_gradient(x, labels, ahead);
    double norm = 0;
    const double next_momentum = 0.5 * (1 + std::sqrt(1 + 4 * momentum * momentum));
    for (size_t k = 0; k < w.size(); ++k) {
      const bool intercept = k % w.cols() == w.cols() - 1;  // the intercept has no penalty
      const double g = gradient.data()[k] + (intercept ? 0 : ahead.data()[k]);
      const double to = ahead.data()[k] - step * g;
      ahead.data()[k] = to + (momentum - 1) / next_momentum * (to - w.data()[k]);
      w.data()[k] = to;
      norm += g * g;
    }
    momentum = next_momentum;
    if (std::sqrt(norm) < 1e-4 * static_cast<double>(x.rows())) break;
  }
  return w;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> read_pairs(const std::filesystem::path& path) {
  const std::vector<std::string> lines = read_lines(path);
  std::vector<std::pair<std::string, std::string>> pairs;
  for (size_t i = 0; i < lines.size(); ++i) {
    const size_t tab = lines[i].find('\t');
    if (tab != std::string::npos) {
      pairs.emplace_back(lines[i].substr(0, tab), lines[i].substr(tab + 1));
    } else if (!lines[i].empty() && i + 1 < lines.size() && !lines[i + 1].empty() &&
               lines[i + 1].find('\t') == std::string::npos) {
      pairs.emplace_back(lines[i], lines[i + 1]);
    }
  }
  if (pairs.size() < 2) throw_input("{}: expected two pairs of texts or more, found {}", path.string(), pairs.size());
  return pairs;
}

std::vector<double> row_cosines(MatrixView<const float> a, MatrixView<const float> b) {
  std::vector<double> out(a.rows());
  for (size_t r = 0; r < a.rows(); ++r) {
    double product = 0, aa = 0, bb = 0;
    for (size_t c = 0; c < a.cols(); ++c) {
      const double x = a(r, c), y = b(r, c);
      product += x * y;
      aa += x * x;
      bb += y * y;
    }
    out[r] = aa > 0 && bb > 0 ? product / std::sqrt(aa * bb) : 0;
  }
  return out;
}

double spearman(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double middle = 0.5 * static_cast<double>(a.size() + 1);
  double product = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    product += (x[i] - middle) * (y[i] - middle);
    xx += (x[i] - middle) * (x[i] - middle);
    yy += (y[i] - middle) * (y[i] - middle);
  }
  return xx > 0 && yy > 0 ? product / std::sqrt(xx * yy) : NAN;
}

LabelledTexts read_labelled(const std::filesystem::path& path) {
  LabelledTexts out;
  const std::vector<std::string> lines = read_lines(path);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].find_first_not_of(" \t") == std::string::npos) continue;
    size_t label = 0;
    const char* end = lines[i].data() + lines[i].size();
    const auto [after, error] = std::from_chars(lines[i].data(), end, label);
    if (error != std::errc{} || label >= 1000 || after == end || (*after != ' ' && *after != '\t')) {
      throw_input("{}: line {}: expected a label below 1000, a space and a text, found '{:.40}'", path.string(), i + 1,
                  lines[i]);
    }
    out.labels.push_back(label);
    out.texts.emplace_back(after + 1, end);
  }
  if (out.texts.empty()) throw_input("{}: expected a label and a text a line, found none", path.string());
  return out;
}

Mean probe_accuracy(MatrixView<const float> train, std::span<const size_t> train_labels, MatrixView<const float> test,
                    std::span<const size_t> test_labels) {
  OCC_CHECK(train.rows() == train_labels.size() && test.rows() == test_labels.size() && train.cols() == test.cols());
  const size_t classes = 1 + *std::max_element(train_labels.begin(), train_labels.end());
  const Standardizer standardizer(train);
  const Matrix<double> x = standardizer.apply(train), y = standardizer.apply(test);
  const Matrix<double> w = fit_probe(x, train_labels, classes);
  std::vector<double> right(test.rows());
  for (size_t r = 0; r < y.rows(); ++r) {
    std::vector<double> score(classes);
    for (size_t k = 0; k < classes; ++k) score[k] = dot(y.row(r), w.row(k), y.cols());
    const auto best = std::max_element(score.begin(), score.end()) - score.begin();
    right[r] = static_cast<size_t>(best) == test_labels[r];
  }
  return mean_of(right);
}

}  // namespace occ
