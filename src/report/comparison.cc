#include "report/comparison.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/glob.h"
#include "base/option_name.h"
#include "base/parallel.h"
#include "compress/moments.h"
#include "container/archive_file.h"
#include "metrics/rate.h"
#include "tensor/panels.h"

namespace occ {
namespace {

struct Pair {
  size_t a, b;
};

const TensorInfo& info(const TensorFile& file, size_t i) { return file.tensors()[i]; }

std::vector<Pair> match(const TensorFile& a, const TensorFile& b, const std::string& glob,
                        std::vector<std::string>* only_in_a) {
  std::vector<Pair> pairs;
  const bool single = a.tensors().size() == 1 && b.tensors().size() == 1;
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    const std::string& name = info(a, i).name;
    if (!glob.empty() && !glob_match(glob, name)) continue;
    const size_t k = single ? 0 : b.find(name);
    if (k == b.tensors().size()) {
      only_in_a->push_back(name);
      continue;
    }
    if (info(a, i).shape != info(b, k).shape) {
      throw_input("{}: tensor '{}': expected shape [{}] as in {}, found [{}]", b.path(), name,
                  fmt::join(info(a, i).shape, ", "), a.path(), fmt::join(info(b, k).shape, ", "));
    }
    pairs.push_back({i, k});
  }
  if (pairs.empty() && !glob.empty())
    throw_usage("{}: '{}' matches no tensor of both inputs", option_name("tensor"), glob);
  if (pairs.empty()) throw_input("{} and {} have no tensor of the same name", a.path(), b.path());
  return pairs;
}

bool equal_bytes(const TensorFile& a, const TensorFile& b, const Pair& p) {
  const TensorInfo& t = info(a, p.a);
  if (info(b, p.b).dtype != t.dtype) return false;
  Bytes x(t.elements() * dtype_size(t.dtype)), y(x.size());
  a.read_raw(p.a, 0, t.elements(), x.data());
  b.read_raw(p.b, 0, t.elements(), y.data());
  return x == y;
}

Matrix<double> read_moments(const std::string& path, const TensorFile& b, std::span<const Pair> pairs) {
  const std::unique_ptr<TensorFile> x = open_any(path);
  std::set<size_t> widths;
  for (const Pair& p : pairs) widths.insert(matrix_shape(info(b, p.b).shape).cols);
  if (!widths.contains(activation_width(*x))) {
    throw_input("{}: expected input vectors with the width of a tensor ({}), found {}", path, fmt::join(widths, ", "),
                activation_width(*x));
  }
  return second_moments(*x);
}

// Reads both tensors in panels of rows. The panels have the size that suits the second file, which is usually an
// archive, and their figures are merged in order.
void measure(const TensorFile& a, const TensorFile& b, const Pair& pair, const Matrix<double>& h,
             const std::function<void(uint64_t)>& progress, TensorComparison* out) {
  const Shape shape = matrix_shape(info(b, pair.b).shape);
  const size_t panel = panel_rows(b, pair.b);
  const bool weighted = h.size() != 0 && h.cols() == shape.cols;
  std::vector<DistortionAccumulator> parts(shape.size() == 0 ? 0 : ceil_div(shape.rows, panel));
  std::vector<WeightedDistortion> weighted_parts(weighted ? parts.size() : 0);
  std::mutex mutex;
  parallel_for(parts.size(), [&](size_t p) {
    const size_t row = p * panel, rows = std::min(panel, shape.rows - row);
    Matrix<float> x = Matrix<float>::uninitialized(rows, shape.cols);
    Matrix<float> y = Matrix<float>::uninitialized(rows, shape.cols);
    a.read_f32(pair.a, row * shape.cols, x.size(), x.data());
    b.read_f32(pair.b, row * shape.cols, y.size(), y.data());
    parts[p].add(x.view(), y.view());
    if (weighted) weighted_parts[p].add(x.view(), y.view(), h.view());
    const std::lock_guard lock(mutex);
    progress(x.size());
  });
  for (const DistortionAccumulator& p : parts) out->distortion.merge(p);
  if (!weighted) return;
  out->weighted.emplace();
  for (const WeightedDistortion& p : weighted_parts) out->weighted->merge(p);
}

// Measures cosines. This needs all rows of both tensors in memory at the same time.
CosineFigures measure_rows(const TensorFile& a, const TensorFile& b, const Pair& pair) {
  const Shape shape = matrix_shape(info(b, pair.b).shape);
  Matrix<float> x = Matrix<float>::uninitialized(shape.rows, shape.cols);
  Matrix<float> y = Matrix<float>::uninitialized(shape.rows, shape.cols);
  a.read_f32(pair.a, 0, x.size(), x.data());
  b.read_f32(pair.b, 0, y.size(), y.data());
  return measure_cosines(x.view(), y.view());
}

template <typename T>
void merge_optional(std::optional<T>* into, const std::optional<T>& from) {
  if (!from) return;
  if (!*into) into->emplace();
  (*into)->merge(*from);
}

}  // namespace

double TensorComparison::bpw() const { return bits_per_weight(bytes, distortion.elements()); }

void TensorComparison::merge(const TensorComparison& o) {
  bytes += o.bytes;
  distortion.merge(o.distortion);
  merge_optional(&weighted, o.weighted);
  merge_optional(&cosines, o.cosines);
}

TensorComparison total_of(std::span<const TensorComparison> tensors, std::span<const size_t> members) {
  TensorComparison out;
  for (const size_t i : members) out.merge(tensors[i]);
  return out;
}

Comparison compare_files(const TensorFile& a, const TensorFile& b, const ComparisonOptions& options) {
  Comparison out;
  std::vector<Pair> pairs = match(a, b, options.tensor, &out.only_in_a);
  const bool whole = pairs.size() == b.tensors().size();
  std::erase_if(pairs, [&](const Pair& p) {
    if (is_float(info(a, p.a).dtype) || is_float(info(b, p.b).dtype)) return false;
    ++out.integer_tensors;
    if (!equal_bytes(a, b, p)) out.unequal.push_back(info(a, p.a).name);
    return true;
  });
  Matrix<double> h;
  if (!options.activations.empty()) h = read_moments(options.activations, b, pairs);
  uint64_t elements = 0, done = 0;
  for (const Pair& p : pairs) elements += info(a, p.a).elements();
  const auto progress = [&](uint64_t n) {
    done += n;
    if (options.progress) options.progress(done, elements);
  };
  for (const Pair& p : pairs) {
    TensorComparison t;
    t.name = info(a, p.a).name;
    t.bytes = info(b, p.b).stored_bytes;
    measure(a, b, p, h, progress, &t);
    if (options.cosines) t.cosines = measure_rows(a, b, p);
    out.total.merge(t);
    out.tensors.push_back(std::move(t));
  }
  out.bpw = bits_per_weight(whole ? b.file_bytes() : out.total.bytes, elements);
  return out;
}

}  // namespace occ
