#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "container/archive_file.h"
#include "io/elements.h"
#include "io/json.h"
#include "search/scan.h"

namespace occ {

struct VectorIndex::Parts {
  // One matrix of a file, whose rows have the numbers from `first` on.
  struct Segment {
    std::shared_ptr<const TensorFile> file;
    size_t tensor = 0;
    uint64_t first = 0;
    size_t rows = 0;
    std::unique_ptr<Scan> scan;
  };
  std::vector<Segment> segments;
  std::string name;  // of the first file, for messages
  uint64_t size = 0;
  size_t dimension = 0;

  void open(const std::filesystem::path& path);
  void check_queries(MatrixView<const float> queries, size_t k) const;
  const Segment& segment_of(uint64_t id) const;
};

void VectorIndex::Parts::open(const std::filesystem::path& path) {
  const std::shared_ptr<const TensorFile> file = open_any(path);
  const auto* archive = dynamic_cast<const ArchiveFile*>(file.get());
  if (file->tensors().empty()) throw_input("{}: expected a matrix of vectors, found no tensors", file->path());
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const TensorInfo& info = file->tensors()[i];
    const std::string where = file->path() + ": tensor '" + printable(info.name) + "'";
    if (info.shape.size() != 2 || info.elements() == 0) {
      throw_input("{}: expected vectors, a matrix [vectors, dimension] that is not empty, found shape {}", where,
                  shape_text(info.shape));
    }
    if (info.shape[0] > std::numeric_limits<uint32_t>::max()) {
      throw_input("{}: expected at most {} vectors, found {}", where, std::numeric_limits<uint32_t>::max(),
                  info.shape[0]);
    }
    if (dimension == 0) name = file->path(), dimension = info.shape[1];
    if (info.shape[1] != dimension) {
      throw_input("{}: expected vectors of dimension {} as in {}, found {}", where, dimension, name, info.shape[1]);
    }
    Segment s{file, i, size, static_cast<size_t>(info.shape[0]), nullptr};
    if (archive != nullptr && archive->record(i).coded()) {
      const ArchiveFile::Coded coded = archive->open_coded(i);
      if (coded.recipe->product_codes() != nullptr) {
        archive->as_fault_of(i, [&] { s.scan = make_table_scan(*coded.recipe); });
      }
    }
    if (s.scan == nullptr) s.scan = make_decoded_scan(*file, i);
    size += s.rows;
    segments.push_back(std::move(s));
  }
}

void VectorIndex::Parts::check_queries(MatrixView<const float> queries, size_t k) const {
  if (k == 0) throw_usage("k: expected at least 1 neighbour, found 0");
  if (queries.rows() == 0) throw_usage("queries: expected at least one, found none");
  if (queries.cols() != dimension) {
    throw_input("queries: expected dimension {} as in {}, found {}", dimension, name, queries.cols());
  }
  for (size_t q = 0; q < queries.rows(); ++q) {
    for (size_t c = 0; c < dimension; ++c) {
      if (!std::isfinite(queries(q, c)))
        throw_input("queries: row {}: expected finite values, found {}", q, queries(q, c));
    }
  }
}

const VectorIndex::Parts::Segment& VectorIndex::Parts::segment_of(uint64_t id) const {
  if (id >= size) throw_usage("{}: expected rows below {}, found {}", name, size, id);
  return *(
      std::upper_bound(segments.begin(), segments.end(), id, [](uint64_t i, const Segment& s) { return i < s.first; }) -
      1);
}

namespace {

Neighbours results(const std::vector<TopK>& best, size_t k, Metric metric, const std::string& name) {
  Neighbours out{Matrix<uint64_t>::uninitialized(best.size(), k), Matrix<float>::uninitialized(best.size(), k)};
  for (size_t q = 0; q < best.size(); ++q) {
    const std::vector<TopK::Entry> entries = best[q].sorted();
    if (entries.size() < k) throw_input("{}: expected finite distances to query {}, found others", name, q);
    for (size_t i = 0; i < k; ++i) {
      out.ids(q, i) = entries[i].second;
      out.distances(q, i) = metric == Metric::kL2 ? entries[i].first : 0.0f - entries[i].first;
    }
  }
  return out;
}

}  // namespace

VectorIndex::VectorIndex(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
VectorIndex::VectorIndex(VectorIndex&&) noexcept = default;
VectorIndex& VectorIndex::operator=(VectorIndex&&) noexcept = default;
VectorIndex::~VectorIndex() = default;

VectorIndex VectorIndex::open(const std::vector<std::filesystem::path>& paths) {
  if (paths.empty()) throw_usage("index: expected at least one file, found none");
  auto parts = std::make_unique<Parts>();
  for (const auto& path : paths) parts->open(path);
  return VectorIndex(std::move(parts));
}

size_t VectorIndex::size() const { return parts_->size; }
size_t VectorIndex::dimension() const { return parts_->dimension; }
uint64_t VectorIndex::resident_bytes() const {
  uint64_t bytes = 0;
  for (const auto& s : parts_->segments) bytes += s.scan->resident_bytes();
  return bytes;
}
std::vector<std::string> VectorIndex::kinds() const {
  std::vector<std::string> out;
  for (const auto& s : parts_->segments) out.push_back(s.scan->kind());
  return out;
}

Neighbours VectorIndex::search(MatrixView<const float> queries, size_t k, Metric metric) const {
  parts_->check_queries(queries, k);
  const size_t most = std::min<uint64_t>(k, parts_->size);
  std::vector<TopK> best(queries.rows(), TopK(most));
  for (const auto& s : parts_->segments) s.scan->search(queries, metric, s.first, best);
  return results(best, most, metric, parts_->name);
}

Neighbours VectorIndex::rerank(MatrixView<const float> queries, const Neighbours& candidates, size_t k,
                               Metric metric) const {
  parts_->check_queries(queries, k);
  if (candidates.ids.rows() != queries.rows()) {
    throw_usage("candidates: expected those of {} queries, found {}", queries.rows(), candidates.ids.rows());
  }
  const size_t most = std::min(k, candidates.ids.cols()), n = candidates.ids.cols();
  std::vector<TopK> best(queries.rows(), TopK(most));
  parallel_for(queries.rows(), [&](size_t q) {
    Matrix<float> x(n, parts_->dimension);
    read({candidates.ids.row(q), n}, x.view());
    for (size_t i = 0; i < n; ++i) {
      best[q].push(cost_of(queries.row(q), x.row(i), x.cols(), metric), candidates.ids(q, i));
    }
  });
  return results(best, most, metric, parts_->name);
}

void VectorIndex::read(std::span<const uint64_t> ids, MatrixView<float> out) const {
  if (out.rows() != ids.size() || out.cols() != parts_->dimension) {
    throw_usage("{}: expected room for {} x {} values, found {} x {}", parts_->name, ids.size(), parts_->dimension,
                out.rows(), out.cols());
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const Parts::Segment& s = parts_->segment_of(ids[i]);
    TensorRows(*s.file, s.tensor).read_rows(ids[i] - s.first, out.row_range(i, 1));
  }
}

double recall(MatrixView<const uint64_t> found, MatrixView<const uint64_t> truth, size_t k) {
  const size_t wanted = std::min(k, truth.cols());
  if (found.rows() != truth.rows() || found.rows() == 0 || wanted == 0) {
    throw_usage(
        "recall: expected as many queries as there are rows of true neighbours, and some of both, found {} and {} x {}",
        found.rows(), truth.rows(), wanted);
  }
  uint64_t hits = 0;
  for (size_t q = 0; q < found.rows(); ++q) {
    const uint64_t* row = found.row(q);
    const size_t n = std::min(k, found.cols());
    for (size_t i = 0; i < wanted; ++i) hits += std::find(row, row + n, truth(q, i)) != row + n;
  }
  return static_cast<double>(hits) / static_cast<double>(found.rows() * wanted);
}

}  // namespace occ
