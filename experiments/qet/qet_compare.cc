// Compares QET with RTN, PQ, OPQ and LOPQ at equal bytes and writes the data of figures 3 to 26 as CSV (README.md).
//
//   qet_compare OUT_FOLDER [--times] DATA...        DATA: synthetic:SEED, or NAME=FILE, or NAME=FILE:TENSOR
//
// Writes three files for each DATA. OUT_FOLDER/DATA.csv has one line per method, setting and compression ratio (against
// f32). DATA.levels.csv shows what the levels of the tree do to the values. DATA.times.csv has the CPU seconds of some
// methods; with --times only this file is written. There are three protocols. In "seed" every vector quantizer has the
// same m. "paper" is the same, but the order bits of QET do not count. In "open" every method has its best parameters.
// All other bytes count, headers and padding too, and only candidates within the budget are written. Matrices are
// reduced to at most 2,048 evenly spread rows and 192 columns.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "compress/encode.h"
#include "container/blob.h"
#include "io/open.h"
#include "linalg/linalg.h"
#include "metrics/limits.h"
#include "quantization/entanglement_tree.h"
#include "recipe/bound.h"

namespace occ {
namespace {

constexpr size_t kMostRows = 2048, kMostColumns = 192;
constexpr int kRatios[] = {4, 8, 12, 16};

// Returns values from N(0.5, 0.16^2) restricted to [0, 1]. One value in 10,000 is replaced by one that is uniform in
// [-100, 100].
Matrix<float> synthetic(uint64_t seed) {
  Matrix<float> x(2048, 128);
  Rng rng(seed);
  for (size_t i = 0; i < x.size(); ++i) {
    double value = -1;
    while (value < 0 || value > 1) value = 0.5 + 0.16 * rng.normal();
    x.data()[i] = static_cast<float>(rng.uniform() < 1e-4 ? 200 * rng.uniform() - 100 : value);
  }
  return x;
}

Matrix<float> read_matrix(const std::string& path, const std::string& tensor) {
  const auto file = open_tensor_file(path);
  const size_t index = tensor.empty() ? 0 : file->find(tensor);
  if (index == file->tensors().size()) throw_usage("{} has no tensor '{}'", path, tensor);
  const TensorRows rows(*file, index);
  const Shape shape = rows.shape();
  Matrix<float> x(std::min(kMostRows, shape.rows), std::min(kMostColumns, shape.cols)), row(1, shape.cols);
  for (size_t r = 0; r < x.rows(); ++r) {
    rows.read_rows(r * shape.rows / x.rows(), row.view());
    std::copy_n(row.data(), x.cols(), x.row(r));
  }
  return x;
}

// Replaces outliers by the median of their column. An outlier is further from the median than 8 robust standard
// deviations, which are estimated by the median absolute deviation.
Matrix<float> without_outliers(const Matrix<float>& x) {
  Matrix<float> y = x.clone();
  for (size_t c = 0; c < x.cols(); ++c) {
    std::vector<float> v(x.rows());
    for (size_t r = 0; r < x.rows(); ++r) v[r] = x(r, c);
    std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(v.size() / 2), v.end());
    const float median = v[v.size() / 2];
    for (float& a : v) a = std::abs(a - median);
    std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(v.size() / 2), v.end());
    const float most = 8 * 1.4826f * v[v.size() / 2];
    for (size_t r = 0; r < x.rows() && most > 0; ++r) {
      if (std::abs(x(r, c) - median) > most) y(r, c) = median;
    }
  }
  return y;
}

// Returns the least MSE at this rate (bits per weight) for Gaussian vectors with the covariance of the rows without
// outliers.
double gaussian_limit(const Matrix<float>& x, double bits) {
  Matrix<float> y = without_outliers(x);
  const auto rows = static_cast<double>(x.rows());
  for (size_t c = 0; c < x.cols(); ++c) {
    double mean = 0;
    for (size_t r = 0; r < x.rows(); ++r) mean += static_cast<double>(y(r, c)) / rows;
    for (size_t r = 0; r < x.rows(); ++r) y(r, c) -= static_cast<float>(mean);
  }
  Matrix<double> h(x.cols(), x.cols());
  add_second_moment(y.view(), h.view());
  std::vector<double> values(x.cols());
  eigenvalues(h.view(), values);
  for (double& v : values) v = std::max(0.0, v / rows);
  return water_filling_for_rate(values, bits).distortion;
}

struct Result {
  std::string recipe;
  size_t bytes = 0, order = 0, side = 0;  // order: bytes of the order bits; side: all but these and the codes
  double mae = 0, mre = 0, mse = 0, nmse = 0;
};

Result measure(const Matrix<float>& x, const std::string& recipe) {
  Result out;
  const Recipe parsed = Recipe::parse(recipe);
  out.recipe = parsed.print();
  const EncodedMatrix coded = encode_matrix(parsed, MatrixSource(x.view()), {}, "x");
  const std::vector<ByteSpan> planes = unpack_blob(coded.blob, "x");
  out.bytes = coded.blob.size();
  const std::vector<std::string> names = plane_names(parsed);
  for (size_t i = 0; i < planes.size(); ++i) {
    const auto ends = [&](std::string_view with) { return std::string_view(names[i]).ends_with(with); };
    if (ends("order") || ends("order.rans")) out.order += planes[i].size();
    if (!ends("order") && !ends("order.rans") && !ends("codes") && !ends("clusters")) out.side += planes[i].size();
  }
  const DistortionAccumulator& d = coded.distortion;
  out.mae = d.mae(), out.mre = d.mre(), out.mse = d.mse(), out.nmse = d.nmse();
  return out;
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Returns the CPU seconds of one fit with coding, and the mean CPU seconds of 20 times loading and decoding.
std::pair<double, double> times(const Matrix<float>& x, const std::string& recipe) {
  const Recipe parsed = Recipe::parse(recipe);
  const double start = cpu_seconds();
  const EncodedMatrix coded = encode_matrix(parsed, MatrixSource(x.view()), {}, "x");
  const double quantize = cpu_seconds() - start;
  const std::vector<ByteSpan> planes = unpack_blob(coded.blob, "x");
  Matrix<float> decoded(x.rows(), x.cols());
  const double again = cpu_seconds();
  constexpr int kRepeats = 20;
  for (int i = 0; i < kRepeats; ++i) {
    PlaneReader reader(planes, "x");
    load_recipe(parsed, x.shape(), reader)->dequantize({0, 0, x.rows(), x.cols()}, decoded.view());
  }
  return {quantize, (cpu_seconds() - again) / kRepeats};
}

class Experiment {
 public:
  Experiment(const std::filesystem::path& folder, std::string name, Matrix<float> x, bool only_times)
      : name_(std::move(name)), x_(std::move(x)) {
    measure_times(folder / (name_ + ".times.csv"));
    if (only_times) return;
    out_.open(folder / (name_ + ".csv"));
    out_ << "data,protocol,ratio,m,method,levels,rounds,bytes,bpw,mae,mre,mse,nmse,limit_mse,codebook_share,recipe\n";
    levels(folder / (name_ + ".levels.csv"));
    for (const int ratio : kRatios) {
      ratio_ = ratio;
      bits_ = 32.0 / ratio;
      limit_ = gaussian_limit(x_, bits_);
      budget_ = static_cast<size_t>(bits_ * static_cast<double>(x_.size()) / 8);
      seed_protocol();
      open_protocol();
      std::printf("%s: ratio %d done\n", name_.c_str(), ratio);
      std::fflush(stdout);
    }
  }

 private:
  // Writes the CPU seconds of the methods at about 8 bits per weight and m = 8.
  void measure_times(const std::filesystem::path& path) const {
    std::ofstream out(path);
    out << "data,method,quantize_s,dequantize_s\n";
    const std::pair<const char*, const char*> recipes[] = {
        {"RTN", "uniform(bits=7) > bitpack"},
        {"PQ", "pq(bits=8, m=8) > bitpack"},
        {"OPQ", "opq(bits=8, m=8) > bitpack"},
        {"LOPQ, 4 clusters", "opq(bits=8, m=8, clusters=4) > bitpack"},
        {"QET, 1 level", "qet(bits=8, m=8, levels=1) > bitpack"},
        {"QET, 4 levels", "qet(bits=8, m=8, levels=4) > bitpack"},
        {"QET, 6 levels", "qet(bits=8, m=8, levels=6) > bitpack"},
        {"QET, 6 levels, 2 rounds", "qet(bits=4, m=8, levels=6) > bitpack + qet(bits=4, m=8, levels=6) > bitpack"}};
    for (const auto& [method, recipe] : recipes) {
      const auto [quantize, dequantize] = times(x_, recipe);
      out << fmt::format("{},\"{}\",{:.4f},{:.5f}\n", name_, method, quantize, dequantize);
    }
  }

  // Writes for every level the variance within the columns, the range of the columns, and the entropy of an order bit
  // given its column.
  void levels(const std::filesystem::path& path) {
    std::ofstream out(path);
    out << "data,level,variance_ratio,range_ratio,bits_per_order_bit\n";
    double variance0 = 0, range0 = 0;
    const Matrix<float> clean = without_outliers(x_);
    for (unsigned level = 0; level <= 6; ++level) {
      const size_t whole = x_.cols() >> level << level;
      if (whole == 0) break;
      Matrix<float> y = clean.clone();
      Matrix<Symbol> order(x_.rows(), std::max<size_t>(1, level * whole / 2));
      std::vector<float> work(whole);
      for (size_t r = 0; r < y.rows(); ++r) split_row(y.row(r), whole, level, order.row(r), work.data());
      double variance = 0, range = 0, entropy = 0;
      for (size_t c = 0; c < y.cols(); ++c) {
        double sum = 0, square = 0, low = HUGE_VAL, high = -HUGE_VAL;
        for (size_t r = 0; r < y.rows(); ++r) {
          const auto v = static_cast<double>(y(r, c));
          sum += v, square += v * v, low = std::min(low, v), high = std::max(high, v);
        }
        const auto n = static_cast<double>(y.rows());
        variance += square / n - sum / n * (sum / n);
        range += high - low;
      }
      for (size_t c = 0; c < order.cols(); ++c) {
        double ones = 0;
        for (size_t r = 0; r < order.rows(); ++r) ones += order(r, c);
        const double p = ones / static_cast<double>(order.rows());
        if (p > 0 && p < 1)
          entropy -= (p * std::log2(p) + (1 - p) * std::log2(1 - p)) / static_cast<double>(order.cols());
      }
      if (level == 0) variance0 = variance, range0 = range;
      out << fmt::format("{},{},{:.4f},{:.4f},{:.4f}\n", name_, level, variance / variance0, range / range0, entropy);
    }
  }

  // Measures a recipe. If it is within the budget, writes a line and returns the result. In "paper" order bytes are
  // free.
  std::optional<Result> add(const char* protocol, size_t m, const std::string& method, int levels, int rounds,
                            const std::string& recipe, bool write = true) {
    const Result r = measure(x_, recipe);
    const size_t charged = r.bytes - (std::string_view(protocol) == "paper" ? r.order : 0);
    if (charged > budget_) return std::nullopt;
    if (write) put(protocol, m, method, levels, rounds, r, charged);
    return r;
  }
  void put(const char* protocol, size_t m, const std::string& method, int levels, int rounds, const Result& r,
           size_t charged) {
    out_ << fmt::format("{},{},{},{},{},{},{},{},{:.4f},{:.5g},{:.5g},{:.5g},{:.5g},{:.5g},{:.4f},\"{}\"\n", name_,
                        protocol, ratio_, m, method, levels, rounds, charged,
                        8.0 * static_cast<double>(charged) / static_cast<double>(x_.size()), r.mae, r.mre, r.mse,
                        r.nmse, limit_, static_cast<double>(r.side) / static_cast<double>(r.bytes), r.recipe);
    out_.flush();
  }

  std::string terms(const std::string& stage, double bits, int rounds) const {
    std::string out;
    for (int i = 0; i < rounds; ++i) {
      out += fmt::format("{}{}, bits={:.5g}) > bitpack", i == 0 ? "" : " + ", stage, bits / rounds);
    }
    return out;
  }

  // Returns the best result of uniform codes, with and without groups, within the budget. `prefix` comes before the
  // code.
  std::optional<Result> best_rtn(const std::string& prefix) {
    std::optional<Result> best;
    for (const char* scale : {"per=row", "per=column", "per=tensor", "group=32", "group=64"}) {
      for (const char* zero : {"symmetric", "asymmetric"}) {
        for (int bits = std::min(16, static_cast<int>(bits_)); bits >= 1; --bits) {
          const auto r =
              add("open", 0, "rtn", 0, 0,
                  fmt::format("{}uniform(bits={}, {}, zero={}) > bitpack", prefix, bits, scale, zero), false);
          if (!r) continue;
          if (!best || r->mse < best->mse) best = r;
          break;
        }
      }
    }
    return best;
  }

  void seed_protocol() {
    for (const size_t m : {8, 16, 32, 128}) {
      if (m > x_.cols()) continue;
      add("seed", m, "pq", 0, 1, fmt::format("pq(m={}, bits={:.5g}) > bitpack", m, bits_));
      add("seed", m, "opq", 0, 1, fmt::format("opq(m={}, bits={:.5g}) > bitpack", m, bits_));
      for (const int clusters : {2, 4}) {
        add("seed", m, "lopq", 0, 1, fmt::format("opq(clusters={}, m={}, bits={:.5g}) > bitpack", clusters, m, bits_));
      }
      int best_level = 1;
      double least = HUGE_VAL;
      for (int level = 1; level <= 6; ++level) {
        const std::string stage = fmt::format("qet(levels={}, m={}", level, m);
        if (level * 0.5 < bits_) {
          const auto r = add("seed", m, "qet", level, 1, terms(stage, bits_, 1));
          if (r && r->mse < least) least = r->mse, best_level = level;
        }
        add("paper", m, "qet", level, 1, terms(stage, bits_ + level * 0.5, 1));
      }
      for (int rounds = 2; rounds <= 4; ++rounds) {
        for (const int level : std::set<int>{1, std::min(2, best_level), best_level}) {
          if (rounds * level * 0.5 >= bits_) continue;
          add("seed", m, "qet", level, rounds, terms(fmt::format("qet(levels={}, m={}", level, m), bits_, rounds));
        }
      }
    }
    if (const auto r = best_rtn("")) {
      put("seed", 0, "rtn", 0, 0, *r, r->bytes);
      put("open", 0, "rtn", 0, 0, *r, r->bytes);
    }
  }

  void open_protocol() {
    std::vector<size_t> subspaces;
    for (const size_t width : {1, 2, 3, 4, 8, 16}) {
      const size_t m = (x_.cols() + width - 1) / width;
      if (subspaces.empty() || m < subspaces.back()) subspaces.push_back(m);
    }
    for (const size_t m : subspaces) {
      for (const char* format : {"", ", codebook=rtn, codebook_scale=column"}) {
        add("open", m, "pq", 0, 1, fmt::format("pq(m={}, bits={:.5g}{}) > bitpack", m, bits_, format));
        add("open", m, "opq", 0, 1, fmt::format("opq(m={}, bits={:.5g}{}) > bitpack", m, bits_, format));
      }
      add("open", m, "lopq", 0, 1, fmt::format("opq(clusters=2, m={}, bits={:.5g}) > bitpack", m, bits_));
    }
    for (const double fraction : {0.0, 0.0002, 0.002}) {
      const std::string aside = fraction > 0 ? fmt::format("outliers(fraction={}) > ", fraction) : "";
      const double left = bits_ - 64 * fraction - 0.005;
      if (fraction > 0) {
        if (const auto r = best_rtn(aside)) put("open", 0, "rtn+outliers", 0, 0, *r, r->bytes);
      }
      trellis(aside);
      for (int level = 0; level <= 2; ++level) {
        if (level * 0.5 >= bits_ - 0.5) continue;
        const std::string method = level == 0 ? "pq+RO+outliers" : "qet";
        for (const char* layout : {"parts", "groups"}) {
          if (level == 0 && std::string_view(layout) == "groups") continue;
          for (const size_t width : {1, 2, 4, 8}) {
            const size_t m = x_.cols() / width;
            const std::string stage = fmt::format(
                "{}qet(levels={}, layout={}, m={}, bits={:.5g}, codebook=rtn, "
                "codebook_scale=column)",
                aside, level, layout, m, left);
            add("open", m, method, level, 1, stage + " > bitpack");
            if (level > 0 && fraction == 0 && m >= x_.cols() / 2) {
              add("open", m, method, level, 1, stage + " > { codes: bitpack ; order: rans(tables=64) }");
            }
          }
          residual(aside, method, level, layout, left);
        }
      }
    }
  }

  // Tries a small first code with RTN for the residual. The RTN codes are bit-packed or entropy-coded and take as many
  // bits as the budget allows.
  void residual(const std::string& aside, const std::string& method, int level, const char* layout, double left) {
    const double first_bits = 0.3 + 0.5 * level;
    if (first_bits + 1 > left) return;
    for (const size_t m : {size_t{8}, x_.cols() / 8}) {
      const std::string first = fmt::format(
          "{}qet(levels={}, layout={}, m={}, bits={:.5g}, codebook=rtn, codebook_scale=column) > {{ codes: bitpack ; "
          "order: "
          "rans(tables=64) }}",
          aside, level, layout, m, first_bits);
      for (const char* scale : {"per=tensor", "per=column"}) {
        for (const char* coder : {"bitpack", "rans"}) {
          const char* clip = std::string_view(coder) == "rans" ? ", clip=absmax" : "";
          for (int bits = std::min(16, static_cast<int>(left) + 2); bits >= 1; --bits) {
            const std::string recipe = fmt::format("{} + uniform(bits={}, {}{}) > {}", first, bits, scale, clip, coder);
            if (add("open", m, method, level, 2, recipe)) break;
          }
        }
      }
    }
  }

  // Writes the result of the entropy-coded trellis within the same budget, for comparison.
  void trellis(const std::string& aside) {
    double low = 1e-4, high = 4;
    std::optional<Result> best;
    for (int i = 0; i < 9; ++i) {
      const double step = std::sqrt(low * high);
      const auto r = add("open", 0, "trellis", 0, 0,
                         fmt::format("{}rowscale > trellis(step={:.5g}) > rans(tables=16)", aside, step), false);
      if (r) {
        best = r;
        high = step;
      } else {
        low = step;
      }
    }
    if (best) put("open", 0, aside.empty() ? "trellis" : "trellis+outliers", 0, 0, *best, best->bytes);
  }

  const std::string name_;
  const Matrix<float> x_;
  std::ofstream out_;
  int ratio_ = 0;
  double bits_ = 0, limit_ = 0;
  size_t budget_ = 0;
};

int run(int argc, char** argv) {
  if (argc < 3) throw_usage("usage: qet_compare OUT_FOLDER [--times] DATA...");
  std::filesystem::create_directories(argv[1]);
  const bool only_times = std::string_view(argv[2]) == "--times";
  for (int i = only_times ? 3 : 2; i < argc; ++i) {
    const std::string text = argv[i];
    if (text.starts_with("synthetic:")) {
      const std::string seed = text.substr(10);
      Experiment(argv[1], "synthetic" + seed, synthetic(std::stoull(seed)), only_times);
      continue;
    }
    const size_t equals = text.find('='), colon = text.rfind(':');
    if (equals == std::string::npos) throw_usage("expected NAME=FILE[:TENSOR], found '{}'", text);
    const bool tensor = colon != std::string::npos && colon > equals;
    Experiment(argv[1], text.substr(0, equals),
               read_matrix(text.substr(equals + 1, tensor ? colon - equals - 1 : std::string::npos),
                           tensor ? text.substr(colon + 1) : ""),
               only_times);
  }
  return 0;
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
