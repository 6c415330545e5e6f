// Direction against magnitude: the ablation of PCDVQ (arXiv 2506.05432, section 3) on a real model.
//
// Every linear layer of the model is cut into 8-vectors after random signs and a Hadamard transform of its rows, each
// row scaled to unit variance. A vector is r d, |d| = 1. Then either d is replaced by the nearest of 2^b directions and
// r kept exactly, or r by one of 2^b Lloyd-Max levels of the chi(8) density and d kept, or both. What that costs in
// accuracy is measured on multiple-choice tasks, beside the relative error of the weights. Directions are seeded
// uniform random ones (the paper's greedy E8 codebook has about 5 % less distortion at 14 bits); embeddings and head
// are kept.
//
//   ablation MODEL OUT.csv ITEMS TASK...
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "container/archive_file.h"
#include "evaluation/tasks.h"
#include "linalg/linalg.h"
#include "model/language_model.h"
#include "transforms/transform.h"

namespace occ {
namespace {

constexpr size_t kDim = 8;
constexpr int kExact = -1;

struct Setting {
  int direction_bits, magnitude_bits;  // kExact: not quantized
};

// [8, 2^bits]: random unit vectors as columns.
Matrix<float> random_directions(int bits) {
  Rng rng(1);
  Matrix<float> out(kDim, size_t{1} << bits);
  for (size_t c = 0; c < out.cols(); ++c) {
    double v[kDim], norm = 0;
    for (double& x : v) {
      x = rng.normal();
      norm += x * x;
    }
    for (size_t i = 0; i < kDim; ++i) out(i, c) = static_cast<float>(v[i] / std::sqrt(norm));
  }
  return out;
}

// Lloyd-Max levels of the norm of 8 independent normal values, from 2^17 draws.
std::vector<double> chi_levels(int bits) {
  Rng rng(2);
  std::vector<double> radii(size_t{1} << 17);
  for (double& r : radii) {
    double sum = 0;
    for (size_t i = 0; i < kDim; ++i) {
      const double x = rng.normal();
      sum += x * x;
    }
    r = std::sqrt(sum);
  }
  std::sort(radii.begin(), radii.end());
  const size_t count = size_t{1} << bits;
  std::vector<double> levels(count);
  for (size_t k = 0; k < count; ++k) levels[k] = radii[(2 * k + 1) * radii.size() / (2 * count)];
  for (int round = 0; round < 500; ++round) {
    std::vector<double> sum(count), n(count);
    size_t k = 0;
    for (const double r : radii) {
      while (k + 1 < count && std::abs(levels[k + 1] - r) < std::abs(levels[k] - r)) ++k;
      sum[k] += r;
      n[k] += 1;
    }
    for (size_t i = 0; i < count; ++i) levels[i] = n[i] > 0 ? sum[i] / n[i] : levels[i];
  }
  return levels;
}

double nearest(const std::vector<double>& levels, double value) {
  return *std::min_element(levels.begin(), levels.end(),
                           [&](double a, double b) { return std::abs(a - value) < std::abs(b - value); });
}

// The same model with some tensors replaced.
class ChangedFile final : public TensorFile {
 public:
  explicit ChangedFile(const TensorFile& base) : base_(base), infos_(base.tensors()) {}
  void replace(size_t i, Matrix<float> values) {
    infos_[i].dtype = DType::kF32;
    infos_[i].stored_type.clear();
    values_[i] = std::move(values);
  }
  std::string path() const override { return base_.path(); }
  std::string format() const override { return base_.format(); }
  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    const auto found = values_.find(i);
    if (found == values_.end()) return base_.read_f32(i, first, count, out);
    std::copy_n(found->second.data() + first, count, out);
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    if (!values_.contains(i)) return base_.read_raw(i, first, count, out);
    read_f32(i, first, count, static_cast<float*>(out));
  }
  std::vector<SideFile> side_files() const override { return base_.side_files(); }
  uint64_t file_bytes() const override { return base_.file_bytes(); }

 private:
  const TensorFile& base_;
  std::vector<TensorInfo> infos_;
  std::map<size_t, Matrix<float>> values_;
};

struct Books {
  Matrix<float> directions;
  std::vector<double> levels;
};

// In place, vectors of unit variance [n, 8].
void quantize_vectors(const Books& books, MatrixView<float> x) {
  Matrix<float> scores;
  if (books.directions.cols() != 0) {
    scores = Matrix<float>::uninitialized(x.rows(), books.directions.cols());
    gemm(Op::kNone, Op::kNone, 1.0f, x, books.directions.view(), 0.0f, scores.view());
  }
  for (size_t v = 0; v < x.rows(); ++v) {
    double norm = 0;
    for (size_t i = 0; i < kDim; ++i) norm += double{x(v, i)} * double{x(v, i)};
    norm = std::sqrt(norm);
    if (norm == 0) continue;
    const double radius = books.levels.empty() ? norm : nearest(books.levels, norm);
    size_t best = 0;
    if (scores.size() != 0) {
      best = static_cast<size_t>(std::max_element(scores.row(v), scores.row(v) + scores.cols()) - scores.row(v));
    }
    for (size_t i = 0; i < kDim; ++i) {
      const double d = scores.size() != 0 ? double{books.directions(i, best)} : double{x(v, i)} / norm;
      x(v, i) = static_cast<float>(radius * d);
    }
  }
}

struct ErrorEnergy {
  double error = 0, energy = 0;
};

// Signs, Hadamard, unit variance by row, quantized, and back.
ErrorEnergy quantize_matrix(const Books& books, Matrix<float>* w) {
  const MatrixView<float> view = w->view();
  const auto stage = [&](const char* name) {
    const TransformEntry* entry = find_transform(name);
    return entry->fit(Params(entry->params), view, FitContext{.seed = 3});
  };
  const auto signs = stage("signs"), hadamard = stage("hadamard");
  constexpr size_t kPanel = 64;
  std::vector<ErrorEnergy> parts(ceil_div(w->rows(), kPanel));
  parallel_for(parts.size(), [&](size_t p) {
    const Rect at{p * kPanel, 0, std::min(kPanel, w->rows() - p * kPanel), w->cols()};
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
      quantize_vectors(books, {x.row(r), at.cols / kDim, kDim});
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
    if (s.direction_bits != kExact) books.directions = random_directions(s.direction_bits);
    if (s.magnitude_bits != kExact) books.levels = chi_levels(s.magnitude_bits);
    ErrorEnergy total;
    for (size_t i = 0; i < file->tensors().size(); ++i) {
      if (!is_linear_layer(file->tensors()[i])) continue;
      const TensorRows source(*file, i);
      Matrix<float> values = Matrix<float>::uninitialized(source.shape().rows, source.shape().cols);
      source.read_rows(0, values.view());
      if (books.directions.size() != 0 || !books.levels.empty()) {
        const ErrorEnergy e = quantize_matrix(books, &values);
        total.error += e.error;
        total.energy += e.energy;
      }
      changed.replace(i, std::move(values));
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

int main(int argc, char** argv) {
  try {
    return occ::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
