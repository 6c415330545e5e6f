#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/parallel.h"
#include "cli/cli.h"
#include "container/archive_file.h"
#include "io/elements.h"
#include "io/json.h"
#include "occ/search.h"

namespace occ {
namespace {

using nlohmann::ordered_json;

struct SearchArguments {
  std::string index, queries, metric = "l2", rerank, truth, originals;
  std::vector<std::string> more;
  size_t k = 10, candidates = 0;
  bool json = false;
};

Metric metric_of(const std::string& name) {
  return name == "l2" ? Metric::kL2 : name == "ip" ? Metric::kInnerProduct : Metric::kCosine;
}

// Opens a file with one matrix that has rows. `what` says of what, such as "queries". `cols`: its width; 0: any.
std::unique_ptr<TensorFile> open_matrix(const std::string& path, const std::string& what, size_t cols) {
  std::unique_ptr<TensorFile> file = open_any(path);
  const bool one = file->tensors().size() == 1;
  if (!one || file->tensors()[0].shape.size() != 2 || file->tensors()[0].elements() == 0) {
    throw_input(
        "{}: expected {}, one matrix that is not empty, found {}", path, what,
        one ? "shape " + shape_text(file->tensors()[0].shape) : fmt::format("{} tensors", file->tensors().size()));
  }
  const auto& shape = file->tensors()[0].shape;
  if (cols != 0 && shape[1] != cols) {
    throw_input("{}: expected {} of dimension {}, found {}", path, what, cols, shape[1]);
  }
  return file;
}

Matrix<float> read_queries(const std::string& path, size_t dimension) {
  const std::unique_ptr<TensorFile> file = open_matrix(path, "queries", dimension);
  Matrix<float> out = Matrix<float>::uninitialized(file->tensors()[0].shape[0], dimension);
  file->read_f32(0, 0, out.size(), out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    if (!std::isfinite(out.data()[i])) {
      throw_input("{}: expected finite values, found {} in row {}", path, out.data()[i], i / dimension);
    }
  }
  return out;
}

// The true neighbours of .ivecs or another file of 32-bit integers.
Matrix<uint64_t> read_truth(const std::string& path, size_t queries, size_t vectors) {
  const std::unique_ptr<TensorFile> file = open_matrix(path, "true neighbours", 0);
  const TensorInfo& info = file->tensors()[0];
  if (info.dtype != DType::kI32 || info.shape[0] != queries) {
    throw_input("{}: expected the true neighbours of {} queries as I32, found {} {}", path, queries,
                shape_text(info.shape), dtype_name(info.dtype));
  }
  std::vector<int32_t> values(info.elements());
  file->read_raw(0, 0, values.size(), values.data());
  Matrix<uint64_t> out(info.shape[0], info.shape[1]);
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0 || static_cast<uint64_t>(values[i]) >= vectors) {
      throw_input("{}: expected numbers of vectors below {}, found {} in row {}", path, vectors, values[i],
                  i / info.shape[1]);
    }
    out.data()[i] = static_cast<uint64_t>(values[i]);
  }
  return out;
}

// An index of other forms of the same vectors.
VectorIndex open_same(const std::string& path, const VectorIndex& index) {
  VectorIndex same = VectorIndex::open({path});
  if (same.size() != index.size() || same.dimension() != index.dimension()) {
    throw_input("{}: expected {} vectors of dimension {} as in the index, found {} of dimension {}", path, index.size(),
                index.dimension(), same.size(), same.dimension());
  }
  return same;
}

void print_table(const Neighbours& found) {
  for (size_t q = 0; q < found.ids.rows(); ++q) {
    std::printf("%zu:", q);
    for (size_t i = 0; i < found.ids.cols(); ++i) {
      std::printf(" %llu (%s)", static_cast<unsigned long long>(found.ids(q, i)),
                  number(static_cast<double>(found.distances(q, i))).c_str());
    }
    std::puts("");
  }
}

void run(const SearchArguments& a, const Globals& globals) {
  const ThreadLimit limit(globals.threads);
  if (a.candidates != 0 && a.rerank.empty()) throw_usage("--candidates: expected with --rerank");
  if (a.candidates != 0 && a.candidates < a.k) {
    throw_usage("--candidates: expected at least -k {}, found {}", a.k, a.candidates);
  }
  std::vector<std::filesystem::path> paths = {a.index};
  paths.insert(paths.end(), a.more.begin(), a.more.end());
  const VectorIndex index = VectorIndex::open(paths);
  const Matrix<float> queries = read_queries(a.queries, index.dimension());
  const Metric metric = metric_of(a.metric);
  std::optional<VectorIndex> exact;
  if (!a.rerank.empty()) exact = open_same(a.rerank, index);

  const auto start = std::chrono::steady_clock::now();
  const size_t candidates = a.candidates != 0 ? a.candidates : 10 * a.k;
  Neighbours found = index.search(queries.view(), exact ? candidates : a.k, metric);
  if (exact) found = exact->rerank(queries.view(), found, a.k, metric);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  std::optional<double> share;
  if (!a.truth.empty()) {
    share = recall(found.ids.view(), read_truth(a.truth, queries.rows(), index.size()).view(), a.k);
  } else if (!a.originals.empty()) {
    const Neighbours best = open_same(a.originals, index).search(queries.view(), a.k, metric);
    share = recall(found.ids.view(), best.ids.view(), a.k);
  }
  if (a.json) {
    ordered_json ids = ordered_json::array(), distances = ordered_json::array();
    for (size_t q = 0; q < found.ids.rows(); ++q) {
      const size_t n = found.ids.cols();
      ids.push_back(std::vector<uint64_t>(found.ids.row(q), found.ids.row(q) + n));
      ordered_json row = ordered_json::array();
      for (size_t i = 0; i < n; ++i) row.push_back(finite_or_null(static_cast<double>(found.distances(q, i))));
      distances.push_back(std::move(row));
    }
    ordered_json out = {{"ids", std::move(ids)},   {"distances", std::move(distances)}, {"metric", a.metric},
                        {"vectors", index.size()}, {"searched", index.kinds()},         {"seconds", seconds}};
    if (share) out["recall"] = *share;
    return print_json(out);
  }
  if (!globals.quiet) {
    print_table(found);
    std::printf("%zu queries in %s s, %zu vectors as %s\n", queries.rows(), number(seconds, 3).c_str(), index.size(),
                index.kinds()[0].c_str());
  }
  if (share) std::printf("recall@%zu %s\n", a.k, number(*share).c_str());
}

}  // namespace

void add_search(CLI::App& app, const Globals& globals) {
  CLI::App* cmd = app.add_subcommand("search", "Nearest neighbours of queries among the vectors of an archive");
  auto a = std::make_shared<SearchArguments>();
  cmd->add_option("index", a->index, "Archive of vectors, see occ index; other files of vectors are searched exactly")
      ->required();
  cmd->add_option("queries", a->queries, "A matrix [queries, dimension] of any input format")->required();
  cmd->add_option("-k", a->k, "Neighbours of each query")->capture_default_str()->check(CLI::Range(1, 1 << 24));
  cmd->add_option("--metric", a->metric,
                  "l2 (squared distance), ip (inner product) or cosine; distances are to the decoded vectors")
      ->capture_default_str()
      ->check(CLI::IsMember({"l2", "ip", "cosine"}));
  cmd->add_option("--more", a->more, "More archives, whose vectors are counted on (repeatable)")
      ->allow_extra_args(false);
  cmd->add_option("--rerank", a->rerank, "File of the original vectors: the nearest candidates are compared exactly");
  cmd->add_option("--candidates", a->candidates, "Candidates of --rerank for each query (default 10 k)")
      ->check(CLI::Range(1, 1 << 24));
  auto* truth =
      cmd->add_option("--truth", a->truth, ".ivecs with the true neighbours, nearest first: reports the recall");
  cmd->add_option("--originals", a->originals,
                  "File of the original vectors, which is searched exactly: reports the recall")
      ->excludes(truth);
  cmd->add_flag("--json", a->json, "One JSON document on stdout");
  cmd->callback([a, &globals] { run(*a, globals); });
}

}  // namespace occ
