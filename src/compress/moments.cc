#include "compress/moments.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/parallel.h"
#include "container/archive_file.h"
#include "linalg/linalg.h"
#include "metrics/limits.h"

namespace occ {
namespace {

constexpr size_t kRowsAtOnce = 1024;  // number of rows of activations in memory
constexpr size_t kTile = 512;         // rows and columns of H that one task computes
// Largest |h_ij - h_ji| that still counts as symmetric, in units of sqrt(h_ii h_jj). Matrices in half precision pass.
constexpr double kAsymmetry = 2e-3;

// Input error unless H is finite, symmetric and has no negative diagonal element. Then makes it exactly symmetric.
void check_moments(MatrixView<double> h, const std::string& what) {
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < h.cols(); ++c) {
      if (!std::isfinite(h(r, c))) {
        throw_input("{}: expected finite second moments, found {} at row {}, column {}", what, h(r, c), r, c);
      }
    }
    if (h(r, r) < 0) {
      throw_input("{}: expected no negative number on the diagonal, found {} in row {}", what, h(r, r), r);
    }
  }
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < r; ++c) {
      if (std::fabs(h(r, c) - h(c, r)) > kAsymmetry * std::sqrt(h(r, r) * h(c, c))) {
        throw_input("{}: expected a symmetric matrix, found {} at row {}, column {} and {} at row {}, column {}", what,
                    h(r, c), r, c, h(c, r), c, r);
      }
      h(r, c) = h(c, r) = (h(r, c) + h(c, r)) / 2;
    }
  }
}

Matrix<double> read_matrix(const TensorFile& file, size_t i) {
  const TensorInfo& t = file.tensors()[i];
  Matrix<double> out = Matrix<double>::uninitialized(t.shape[0], t.shape[1]);
  if (t.dtype == DType::kF64 && t.stored_type.empty()) {
    file.read_raw(i, 0, out.size(), out.data());
    return out;
  }
  std::vector<float> row(t.shape[1]);
  for (size_t r = 0; r < out.rows(); ++r) {
    file.read_f32(i, r * row.size(), row.size(), row.data());
    std::copy(row.begin(), row.end(), out.row(r));
  }
  return out;
}

}  // namespace

size_t activation_width(const TensorFile& file) {
  if (file.tensors().size() != 1) {
    throw_input("{}: expected one tensor of input vectors, found {} tensors", file.path(), file.tensors().size());
  }
  const TensorInfo& t = file.tensors()[0];
  if (t.shape.size() < 2 || t.elements() == 0) {
    throw_input("{}: expected input vectors as the rows of a matrix, found shape {}", tensor_name(file, 0),
                fmt::format("[{}]", fmt::join(t.shape, ", ")));
  }
  return t.shape.back();
}

Matrix<double> second_moments(const TensorFile& file) {
  const size_t n = activation_width(file), rows = file.tensors()[0].elements() / n;
  Matrix<double> h(n, n);
  Matrix<float> read = Matrix<float>::uninitialized(std::min(kRowsAtOnce, rows), n);
  Matrix<double> x = Matrix<double>::uninitialized(read.rows(), n);
  const size_t tiles = ceil_div(n, kTile);
  for (size_t row = 0; row < rows; row += read.rows()) {
    throw_if_interrupted();
    const size_t count = std::min(read.rows(), rows - row);
    file.read_f32(0, row * n, count * n, read.data());
    for (size_t i = 0; i < count * n; ++i) {
      x.data()[i] = read.data()[i];
      if (!std::isfinite(read.data()[i])) {
        throw_input("{}: expected finite input vectors, found {} at row {}, column {}", tensor_name(file, 0),
                    read.data()[i], row + i / n, i % n);
      }
    }
    const MatrixView<const double> part = MatrixView<const double>(x.view()).row_range(0, count);
    parallel_for(tiles * tiles, [&](size_t t) {
      const size_t i = t / tiles * kTile, j = t % tiles * kTile;
      if (i < j) return;
      const size_t height = std::min(kTile, n - i), width = std::min(kTile, n - j);
      gemm(Op::kTranspose, Op::kNone, 1.0, part.sub({0, i, count, height}), part.sub({0, j, count, width}), 1.0,
           h.view().sub({i, j, height, width}));
    });
  }
  for (size_t r = 0; r < n; ++r) {
    for (size_t c = 0; c <= r; ++c) h(r, c) = h(c, r) = h(r, c) / static_cast<double>(rows);
  }
  return h;
}

MomentSource::MomentSource(const std::string& activations, const std::string& hessian, MatrixView<const double> given)
    : given_(given) {
  if (!activations.empty()) {
    activations_ = open_any(activations);
    width_ = activation_width(*activations_);
  }
  if (!hessian.empty()) hessian_ = open_any(hessian);
}

bool MomentSource::has(const std::string& tensor, size_t cols) const {
  if (given_.size() != 0) return given_.cols() == cols;
  if (hessian_) {
    const size_t i = hessian_->find(tensor);
    if (i != hessian_->tensors().size()) {
      const std::vector<uint64_t>& shape = hessian_->tensors()[i].shape;
      if (shape != std::vector<uint64_t>{cols, cols}) {
        throw_input("{}: expected second moments of shape [{}, {}], found [{}]", tensor_name(*hessian_, i), cols, cols,
                    fmt::join(shape, ", "));
      }
      return true;
    }
  }
  return activations_ && width_ == cols;
}

std::shared_ptr<const Moments> MomentSource::finish(Matrix<double> h) const {
  auto out = std::make_shared<Moments>();
  // Only the ratio of H to its mean diagonal element is used, so H is scaled by a power of two: the mean may be
  // anywhere in the range of f64.
  double mean = 0;
  for (size_t i = 0; i < h.rows(); ++i) mean += h(i, i) / static_cast<double>(h.rows());
  if (mean > 0 && std::isfinite(mean)) {
    const double power = std::exp2(-std::floor(std::log2(mean)));  // a power of two, so that scaling is exact
    for (size_t i = 0; i < h.size(); ++i) h.data()[i] *= power;
  }
  const uint64_t key = hash64(h.data(), h.size() * sizeof(double));
  const auto [it, is_new] = profiles_.try_emplace(key);
  if (is_new) {
    Matrix<double> work = h.clone();
    std::vector<double> values(h.rows());
    eigenvalues(work.view(), values);
    it->second = eigenvalue_profile(values);
  }
  out->profile = it->second;
  out->h = std::move(h);
  return out;
}

std::shared_ptr<const Moments> MomentSource::find(const std::string& tensor, size_t cols) const {
  const std::lock_guard lock(mutex_);
  if (!has(tensor, cols)) return nullptr;
  const size_t i = hessian_ && given_.size() == 0 ? hessian_->find(tensor) : 0;
  if (hessian_ && given_.size() == 0 && i != hessian_->tensors().size()) {
    Matrix<double> h = read_matrix(*hessian_, i);
    check_moments(h.view(), tensor_name(*hessian_, i));
    return finish(std::move(h));
  }
  if (shared_) return shared_;
  if (given_.size() != 0) {
    Matrix<double> h = Matrix<double>::uninitialized(cols, cols);
    for (size_t r = 0; r < cols; ++r) std::copy_n(given_.row(r), cols, h.row(r));
    check_moments(h.view(), "second moments");
    shared_ = finish(std::move(h));
  } else {
    shared_ = finish(second_moments(*activations_));
  }
  return shared_;
}

std::string MomentSource::widths() const {
  if (given_.size() != 0) return fmt::format("second moments of width {}", given_.cols());
  std::string out;
  if (activations_) out = fmt::format("{} of width {}", activations_->path(), width_);
  if (hessian_)
    out += fmt::format("{}{} with {} matrices", out.empty() ? "" : " and ", hessian_->path(), names().size());
  return out;
}

std::vector<std::string> MomentSource::names() const {
  std::vector<std::string> out;
  if (hessian_) {
    for (const TensorInfo& t : hessian_->tensors()) out.push_back(t.name);
  }
  return out;
}

std::vector<std::filesystem::path> MomentSource::files() const {
  std::vector<std::filesystem::path> out;
  for (const auto* file : {activations_.get(), hessian_.get()}) {
    if (file != nullptr) out.emplace_back(file->path());
  }
  return out;
}

void match_moments(const MomentSource& moments, const TensorFile& source, const std::vector<PlannedTensor>& plan,
                   std::vector<std::string>* notes) {
  size_t coded = 0, matched = 0;
  std::set<size_t> others;  // numbers of columns of the tensors without second moments
  std::vector<std::string> unused = moments.names();
  for (const PlannedTensor& t : plan) {
    if (t.kept()) continue;
    const std::string& name = source.tensors()[t.index].name;
    ++coded;
    std::erase(unused, name);
    if (moments.has(name, t.shape.cols)) {
      ++matched;
    } else {
      others.insert(t.shape.cols);
    }
  }
  if (matched == 0 && unused.size() == moments.names().size() && !unused.empty() && coded > 0) {
    const auto first = std::find_if(plan.begin(), plan.end(), [](const PlannedTensor& t) { return !t.kept(); });
    throw_input("{}: expected second moments by the names of coded tensors, like '{}', found those of '{}'",
                source.path(), source.tensors()[first->index].name, unused[0]);
  }
  if (matched == 0) {
    throw_input("{}: expected a coded tensor that fits {}, found {}", source.path(), moments.widths(),
                coded == 0 ? "none" : fmt::format("tensors with {} columns", fmt::join(others, ", ")));
  }
  if (matched < coded) {
    notes->push_back(fmt::format("{} of {} coded tensors have no second moments (those with {} columns)",
                                 coded - matched, coded, fmt::join(others, ", ")));
  }
  if (!unused.empty()) {
    notes->push_back(fmt::format("second moments that belong to no coded tensor: {}", fmt::join(unused, ", ")));
  }
}

double damping_at(double bits, std::span<const uint8_t> profile) {
  const std::vector<double> variances = profile_variances(profile);
  return std::clamp(water_filling_for_rate(variances, bits).distortion, 1e-6, 1.0);
}

}  // namespace occ
