// Compares errors of direction with errors of magnitude. This repeats the ablation of PCDVQ (arXiv 2506.05432,
// section 3) on a real model.
//
// The rows of every linear layer get random signs and a Hadamard transform, and every row is scaled to unit variance.
// Then the rows are cut into vectors r d of 8 elements, with |d| = 1. Either d is replaced by the nearest of 2^b
// directions and r stays exact, or r is replaced by one of 2^b Lloyd-Max levels of the chi(8) density and d stays
// exact, or both are replaced. The experiment measures the accuracy on multiple-choice tasks and the relative error of
// the weights. Directions and levels are those of the stage `polar` (codebook=e8-greedy, radius=norm). Embeddings and
// head are kept.
//
//   ablation MODEL OUT.csv ITEMS TASK...
//
// A TASK is a file as in src/evaluation/tasks.h, of which the first ITEMS items are used (0: all of them).
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "base/parallel.h"
#include "calibration/changed_file.h"
#include "container/archive_file.h"
#include "evaluation/tasks.h"
#include "experiments/main.h"
#include "model/language_model.h"
#include "quantization/polar.h"
#include "quantization/polar_codebook.h"
#include "quantization/polar_search.h"
#include "transforms/transform.h"

namespace occ {
namespace {

constexpr size_t kDim = 8;
constexpr int kExact = -1;

struct Setting {
  int direction_bits, magnitude_bits;  // kExact means not quantized
};

double nearest(const std::vector<double>& levels, double value) {
  return *std::min_element(levels.begin(), levels.end(),
                           [&](double a, double b) { return std::abs(a - value) < std::abs(b - value); });
}

struct Books {
  std::unique_ptr<DirectionSearch> directions;  // null if directions stay exact
  std::vector<double> levels;                   // empty if magnitudes stay exact
};

// Quantizes n vectors of unit variance, x [n, 8], in place.
void quantize_vectors(const Books& books, size_t n, float* x) {
  std::vector<DirectionHit> hits(n);
  if (books.directions) books.directions->nearest(x, n, hits.data());
  for (size_t v = 0; v < n; ++v, x += kDim) {
    double norm = 0;
    for (size_t i = 0; i < kDim; ++i) norm += double{x[i]} * double{x[i]};
    norm = std::sqrt(norm);
    if (norm == 0) continue;
    const double radius = books.levels.empty() ? norm : nearest(books.levels, norm);
    for (size_t i = 0; i < kDim; ++i) {
      const double d = books.directions ? double{books.directions->points()(hits[v].index, i)} : double{x[i]} / norm;
      x[i] = static_cast<float>(radius * d);
    }
  }
}

struct ErrorEnergy {
  double error = 0, energy = 0;
};

// Applies signs, the Hadamard transform and the scaling to unit variance, quantizes, and undoes the three in reverse
// order.
ErrorEnergy quantize_matrix(const Books& books, MatrixView<float> view) {
  const auto stage = [&](const char* name) {
    const TransformEntry* entry = find_transform(name);
    return entry->fit(Params(entry->params), view, FitContext{.seed = 3});
  };
  const auto signs = stage("signs"), hadamard = stage("hadamard");
  constexpr size_t kPanel = 64;
  std::vector<ErrorEnergy> parts(ceil_div(view.rows(), kPanel));
  parallel_for(parts.size(), [&](size_t p) {
    const Rect at{p * kPanel, 0, std::min(kPanel, view.rows() - p * kPanel), view.cols()};
    const MatrixView<float> x = view.sub(at);
    Matrix<float> before = Matrix<float>::uninitialized(at.rows, at.cols);
    for (size_t r = 0; r < at.rows; ++r) std::copy_n(x.row(r), at.cols, before.row(r));
    const MatrixView<float> one[] = {x};
    const MatrixView<const float> same[] = {x};
    signs->forward(at, x, one);
    hadamard->forward(at, x, one);
    for (size_t r = 0; r < at.rows; ++r) {
      double energy = 0;
      for (size_t c = 0; c < at.cols; ++c) energy += double{x(r, c)} * double{x(r, c)};
      const auto scale = static_cast<float>(std::sqrt(energy / static_cast<double>(at.cols)));
      if (scale == 0) continue;
      for (size_t c = 0; c < at.cols; ++c) x(r, c) /= scale;
      quantize_vectors(books, at.cols / kDim, x.row(r));
      for (size_t c = 0; c < at.cols; ++c) x(r, c) *= scale;
    }
    hadamard->inverse(at, same, x);
    signs->inverse(at, same, x);
    for (size_t r = 0; r < at.rows; ++r) {
      for (size_t c = 0; c < at.cols; ++c) {
        const double d = double{x(r, c)} - double{before(r, c)};
        parts[p].error += d * d;
        parts[p].energy += double{before(r, c)} * double{before(r, c)};
      }
    }
  });
  ErrorEnergy sum;
  for (const ErrorEnergy& part : parts) {
    sum.error += part.error;
    sum.energy += part.energy;
  }
  return sum;
}

bool is_linear_layer(const TensorInfo& t) {
  const bool in_layer = t.name.find("blk.") != std::string::npos || t.name.find("layers.") != std::string::npos;
  return in_layer && t.shape.size() == 2 && t.shape[1] % kDim == 0;
}

int run(int argc, char** argv) {
  if (argc < 5) throw_usage("usage: ablation MODEL OUT.csv ITEMS TASK...");
  const std::unique_ptr<TensorFile> file = open_any(argv[1]);
  std::vector<Task> tasks;
  for (int i = 4; i < argc; ++i) tasks.push_back(read_task(argv[i], static_cast<size_t>(std::atol(argv[3]))));
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(*file);
  std::FILE* csv = std::fopen(argv[2], "w");
  if (csv == nullptr) throw_failed("{}: cannot be written", argv[2]);
  std::fprintf(csv, "direction_bits,magnitude_bits,nmse,task,acc_norm,stderr,items\n");
  const Setting settings[] = {{kExact, kExact}, {14, kExact}, {12, kExact}, {10, kExact}, {8, kExact}, {6, kExact},
                              {kExact, 4},      {kExact, 3},  {kExact, 2},  {kExact, 1},  {kExact, 0}, {14, 2}};
  for (const Setting& s : settings) {
    ChangedFile changed(*file);
    Books books;
    if (s.direction_bits != kExact) {
      const auto bits = static_cast<unsigned>(s.direction_bits);
      books.directions = std::make_unique<DirectionSearch>(
          unit_directions(cached_directions(DirectionSource::kE8Greedy, kDim, bits), kDim));
    }
    if (s.magnitude_bits != kExact) books.levels = chi_levels(kDim, static_cast<unsigned>(s.magnitude_bits));
    ErrorEnergy total;
    for (size_t i = 0; i < file->tensors().size(); ++i) {
      if (!is_linear_layer(file->tensors()[i])) continue;
      const TensorRows source(*file, i);
      std::vector<float> values(source.shape().size());
      const MatrixView<float> w(values.data(), source.shape().rows, source.shape().cols);
      source.read_rows(0, w);
      if (books.directions || !books.levels.empty()) {
        const ErrorEnergy e = quantize_matrix(books, w);
        total.error += e.error;
        total.energy += e.energy;
      }
      changed.replace(file->tensors()[i].name, std::move(values));
    }
    TransformerOptions options;
    options.arithmetic = Arithmetic::kF32;
    const std::unique_ptr<Transformer> model = load_transformer(changed, options);
    const double nmse = total.energy > 0 ? total.error / total.energy : 0;
    const auto bits = [](int b) { return b == kExact ? std::string("exact") : std::to_string(b); };
    for (const Task& task : tasks) {
      const TaskResult r = measure_task(*model, *tokenizer, task);
      const std::string line = fmt::format("{},{},{:.5f},{},{:.4f},{:.4f},{}\n", bits(s.direction_bits),
                                           bits(s.magnitude_bits), nmse, r.name, r.acc_norm, r.acc_norm_stderr, r.n);
      std::fputs(line.c_str(), csv);
      std::fputs(line.c_str(), stdout);
      std::fflush(stdout);
    }
  }
  return std::fclose(csv) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace occ

int main(int argc, char** argv) { return occ::experiment_main(occ::run, argc, argv); }
