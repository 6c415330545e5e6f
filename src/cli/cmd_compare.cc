#include <algorithm>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/glob.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "compress/moments.h"
#include "container/archive_file.h"
#include "linalg/linalg.h"
#include "metrics/cosines.h"
#include "metrics/rate.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  std::string a, b, tensor, activations;
  bool cosines = false, json = false;
};

// Of the outputs W x over the input vectors x: with H their second moments, |W X^T|^2 is tr(W H W^T) times their
// number.
struct Weighted {
  double error = 0, energy = 0;
  void add(const Weighted& o) { error += o.error, energy += o.energy; }
  double nmse() const { return error == 0 ? 0 : error / energy; }
};

struct Pair {
  size_t a, b;
  DistortionAccumulator distortion;
  std::optional<Weighted> weighted;
  std::optional<CosineFigures> cosines;
};

// Integers are indices and masks: they are compared for equality and stay out of the errors.
bool equal_bytes(const TensorFile& a, size_t i, const TensorFile& b, size_t k) {
  const TensorInfo& t = a.tensors()[i];
  if (b.tensors()[k].dtype != t.dtype) return false;
  Bytes x(t.elements() * dtype_size(t.dtype)), y(x.size());
  a.read_raw(i, 0, t.elements(), x.data());
  b.read_raw(k, 0, t.elements(), y.data());
  return x == y;
}

// tr(x h x^T), exact in double.
double weighted_energy(MatrixView<const double> x, MatrixView<const double> h) {
  Matrix<double> xh = Matrix<double>::uninitialized(x.rows(), x.cols());
  gemm(Op::kNone, Op::kNone, 1.0, x, h, 0.0, xh.view());
  double sum = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) sum += x(r, c) * xh(r, c);
  }
  return std::max(sum, 0.0);
}

Weighted measure_weighted(MatrixView<const float> x, MatrixView<const float> y, MatrixView<const double> h) {
  Matrix<double> wide = Matrix<double>::uninitialized(x.rows(), x.cols());
  const auto energy_of = [&](const auto& value) {
    for (size_t r = 0; r < x.rows(); ++r) {
      for (size_t c = 0; c < x.cols(); ++c) wide(r, c) = value(double{x(r, c)}, double{y(r, c)});
    }
    return weighted_energy(wide.view(), h);
  };
  Weighted out;
  out.error = energy_of([](double a, double b) { return a - b; });
  out.energy = energy_of([](double a, double) { return a; });
  return out;
}

// Both tensors in panels that suit the second (usually the archive); merged in order.
void measure(const TensorFile& a, const TensorFile& b, const Matrix<double>& h, Pair* pair,
             const std::function<void(uint64_t)>& progress) {
  const size_t i = pair->a, k = pair->b;
  const Shape shape = matrix_shape(b.tensors()[k].shape);
  const size_t panel = panel_rows(b, k);
  const bool weighted = h.size() != 0 && h.cols() == shape.cols;
  std::vector<DistortionAccumulator> parts(shape.size() == 0 ? 0 : ceil_div(shape.rows, panel));
  std::vector<Weighted> weighted_parts(weighted ? parts.size() : 0);
  std::mutex mutex;
  parallel_for(parts.size(), [&](size_t p) {
    const size_t row = p * panel, rows = std::min(panel, shape.rows - row);
    Matrix<float> x = Matrix<float>::uninitialized(rows, shape.cols);
    Matrix<float> y = Matrix<float>::uninitialized(rows, shape.cols);
    a.read_f32(i, row * shape.cols, x.size(), x.data());
    b.read_f32(k, row * shape.cols, y.size(), y.data());
    parts[p].add(x.view(), y.view());
    if (weighted) weighted_parts[p] = measure_weighted(x.view(), y.view(), h.view());
    const std::lock_guard lock(mutex);
    progress(x.size());
  });
  for (const DistortionAccumulator& p : parts) pair->distortion.merge(p);
  if (!weighted) return;
  pair->weighted.emplace();
  for (const Weighted& p : weighted_parts) pair->weighted->add(p);
}

// Of whole rows, which all have to be there at once.
CosineFigures measure_rows(const TensorFile& a, const TensorFile& b, const Pair& pair) {
  const Shape shape = matrix_shape(b.tensors()[pair.b].shape);
  Matrix<float> x = Matrix<float>::uninitialized(shape.rows, shape.cols);
  Matrix<float> y = Matrix<float>::uninitialized(shape.rows, shape.cols);
  a.read_f32(pair.a, 0, x.size(), x.data());
  b.read_f32(pair.b, 0, y.size(), y.data());
  return measure_cosines(x.view(), y.view());
}

std::vector<Pair> match(const TensorFile& a, const TensorFile& b, const std::string& glob,
                        std::vector<std::string>* unmatched) {
  std::vector<Pair> pairs;
  const bool single = a.tensors().size() == 1 && b.tensors().size() == 1;
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    const std::string& name = a.tensors()[i].name;
    if (!glob.empty() && !glob_match(glob, name)) continue;
    const size_t k = single ? 0 : b.find(name);
    if (k == b.tensors().size()) {
      unmatched->push_back(name);
      continue;
    }
    if (a.tensors()[i].shape != b.tensors()[k].shape) {
      throw_input("{}: tensor '{}': expected shape {} as in {}, found {}", b.path(), name,
                  shape_label(a.tensors()[i].shape), a.path(), shape_label(b.tensors()[k].shape));
    }
    pairs.push_back({i, k, {}, {}, {}});
  }
  if (pairs.empty() && !glob.empty()) throw_usage("--tensor: '{}' matches no tensor of both inputs", glob);
  if (pairs.empty()) throw_input("{} and {} have no tensor of the same name", a.path(), b.path());
  return pairs;
}

ordered_json to_json(const DistortionAccumulator& d, const std::optional<Weighted>& weighted,
                     const std::optional<CosineFigures>& cosines) {
  ordered_json out = {{"mse", finite_or_null(d.mse())},         {"nmse", finite_or_null(d.nmse())},
                      {"sqnr_db", finite_or_null(d.sqnr_db())}, {"mae", finite_or_null(d.mae())},
                      {"mre", finite_or_null(d.mre())},         {"cosine", finite_or_null(d.cosine())},
                      {"max_abs", finite_or_null(d.max_abs())}, {"elements", d.elements()}};
  if (weighted) out["weighted_nmse"] = finite_or_null(weighted->nmse());
  if (cosines) {
    out["row_cosine_mean"] = finite_or_null(cosines->mean());
    out["row_cosine_p1"] = finite_or_null(cosines->percentile(1));
    out["pair_cosine_rmse"] = finite_or_null(cosines->pair_rmse());
    out["product_slope"] = finite_or_null(cosines->product_slope());
    out["recall_at_10"] = finite_or_null(cosines->recall());
    out["recall_stderr"] = finite_or_null(cosines->recall_stderr());
  }
  return out;
}

std::vector<std::string> cells(const std::string& name, double bpw, const DistortionAccumulator& d,
                               const std::optional<Weighted>& weighted, const std::optional<CosineFigures>& cosines) {
  std::vector<std::string> out = {name,
                                  number(bpw),
                                  number(d.mse()),
                                  number(d.nmse()),
                                  number(d.sqnr_db()),
                                  number(d.mae()),
                                  number(d.mre()),
                                  number(d.cosine(), 6),
                                  number(d.max_abs())};
  if (weighted) out.push_back(number(weighted->nmse()));
  if (cosines) {
    for (const double v :
         {cosines->mean(), cosines->percentile(1), cosines->pair_rmse(), cosines->product_slope(), cosines->recall()}) {
      out.push_back(number(v));
    }
  }
  return out;
}

void run(const Arguments& args, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  const std::unique_ptr<TensorFile> a = open_any(args.a), b = open_any(args.b);
  std::vector<std::string> unmatched;
  std::vector<Pair> pairs = match(*a, *b, args.tensor, &unmatched);
  std::vector<std::string> unequal;
  const size_t compared = pairs.size();
  std::erase_if(pairs, [&](const Pair& p) {
    if (is_float(a->tensors()[p.a].dtype)) return false;
    if (!equal_bytes(*a, p.a, *b, p.b)) unequal.push_back(a->tensors()[p.a].name);
    return true;
  });
  const size_t integers = compared - pairs.size();
  Matrix<double> h;
  if (!args.activations.empty()) {
    const std::unique_ptr<TensorFile> x = open_any(args.activations);
    std::set<size_t> widths;
    for (const Pair& p : pairs) widths.insert(matrix_shape(b->tensors()[p.b].shape).cols);
    if (!widths.contains(activation_width(*x))) {
      throw_input("{}: expected input vectors with the width of a tensor ({}), found {}", args.activations,
                  fmt::join(widths, ", "), activation_width(*x));
    }
    h = second_moments(*x);
  }
  uint64_t total_elements = 0, done = 0;
  for (const Pair& p : pairs) total_elements += a->tensors()[p.a].elements();
  const ProgressFn bar = progress_bar(globals);
  DistortionAccumulator total;
  std::optional<Weighted> total_weighted;
  std::optional<CosineFigures> total_cosines;
  uint64_t bytes = 0;
  for (Pair& p : pairs) {
    measure(*a, *b, h, &p, [&](uint64_t n) {
      done += n;
      if (bar) bar("compare", done * sizeof(float), total_elements * sizeof(float));
    });
    total.merge(p.distortion);
    if (args.cosines) {
      p.cosines = measure_rows(*a, *b, p);
      if (!total_cosines) total_cosines.emplace();
      total_cosines->merge(*p.cosines);
    }
    if (p.weighted) {
      if (!total_weighted) total_weighted.emplace();
      total_weighted->add(*p.weighted);
    }
    bytes += b->tensors()[p.b].stored_bytes;
  }
  end_progress();
  // With every tensor compared the whole file is charged, headers and all.
  const bool whole = compared == b->tensors().size();
  const double total_bpw = bits_per_weight(whole ? b->file_bytes() : bytes, total_elements);
  if (args.json) {
    ordered_json out = {{"total", to_json(total, total_weighted, total_cosines)}};
    out["total"]["bpw"] = total_bpw;
    ordered_json tensors = ordered_json::array();
    for (const Pair& p : pairs) {
      ordered_json t = {{"name", a->tensors()[p.a].name}};
      t.update(to_json(p.distortion, p.weighted, p.cosines));
      t["bpw"] = bits_per_weight(b->tensors()[p.b].stored_bytes, p.distortion.elements());
      tensors.push_back(std::move(t));
    }
    out["tensors"] = tensors;
    if (!unmatched.empty()) out["only_in_a"] = unmatched;
    if (integers > 0) out["integer_tensors"] = {{"compared", integers}, {"unequal", unequal}};
    return print_json(out);
  }
  for (const std::string& name : unmatched) print_note(fmt::format("'{}' is only in {}", name, args.a));
  if (integers > 0) print_note(fmt::format("{} tensors of integers, {} of them differ", integers, unequal.size()));
  for (const std::string& name : unequal) print_note(fmt::format("'{}' differs in type or values", name));
  std::vector<std::string> headings = {"tensor", "bpw", "mse", "nmse", "sqnr dB", "mae", "mre", "cosine", "max abs"};
  if (total_weighted) headings.emplace_back("weighted nmse");
  if (total_cosines) headings.insert(headings.end(), {"row cos", "1 %", "pair rmse", "slope", "recall"});
  Table table(headings);
  if (!globals.quiet) {
    for (const Pair& p : pairs) {
      table.add(cells(a->tensors()[p.a].name, bits_per_weight(b->tensors()[p.b].stored_bytes, p.distortion.elements()),
                      p.distortion, p.weighted, p.cosines));
    }
  }
  table.add(cells("total", total_bpw, total, total_weighted, total_cosines));
  table.print();
}

}  // namespace

void add_compare(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("compare", "Errors of B against A, per tensor and in total");
  auto a = std::make_shared<Arguments>();
  cmd->add_option("A", a->a, "Reference: any input format or archive")->required();
  cmd->add_option("B", a->b, "What is measured: any input format or archive")->required();
  cmd->add_option("--tensor", a->tensor, "GLOB: only tensors whose name matches");
  cmd->add_option("--activations", a->activations,
                  "Tensor file of input vectors x (rows): adds the error of W x for the tensors of that width");
  cmd->add_flag(
      "--cosines", a->cosines,
      "Adds how well rows keep their angles: mean and 1st percentile of their cosines, error of the cosines of "
      "pairs, bias of products, recall of the 10 nearest");
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
