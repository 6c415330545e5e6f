#include "compress/fit_contexts.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "compress/encode.h"
#include "container/archive_file.h"
#include "container/blob.h"
#include "linalg/linalg.h"
#include "metrics/limits.h"
#include "recipe/method.h"

namespace occ {
namespace {

// Bits per weight from which on the error of a row is fed into later rows. The correlations between rows help only if
// errors are small: the KL of SmolLM2 falls by 2.5 % at 3 bits, and that of stories260k by 2 to 7 % at 2.5 to 4.5 bits.
// But at 2 bits, where the queries of SmolLM2 get less than 1 bit, its KL rises by a fifth.
constexpr double kLeastFedBits = 2.75;

double bits_asked_for(const TensorFile& source, const CompressOptions& o) {
  double bytes = 0, elements = 0;
  for (const TensorInfo& t : source.tensors()) {
    bytes += static_cast<double>(t.stored_bytes);
    elements += static_cast<double>(t.elements());
  }
  if (o.size) return 8 * static_cast<double>(*o.size) / elements;
  if (o.ratio) return 8 * bytes / *o.ratio / elements;
  return o.nmse ? gaussian_rate(*o.nmse) : o.bits.value_or(kLeastFedBits);
}

Bytes read_codebooks(const std::filesystem::path& path) {
  if (path.empty()) return {};
  const ArchiveFile archive(path);
  if (archive.tensors().empty() || !archive.record(0).coded()) {
    throw_input("{}: expected a coded tensor with codebooks, found none", path.string());
  }
  const ArchiveFile::Coded coded = archive.open_coded(0);
  if (coded.recipe->product_codes() == nullptr) {
    throw_input("{}: expected codes of pq, opq or lopq, found {}", path.string(), archive.record(0).recipe);
  }
  const ByteSpan side = unpack_blob(*coded.blob, path.string())[0];
  return {side.begin(), side.end()};
}

}  // namespace

FitContexts::FitContexts(const TensorFile& source, const CompressOptions& options, MatrixView<const double> given,
                         CalibrationSource* calibration)
    : source_(source),
      options_(options),
      calibration_(calibration),
      moments_(options.activations, options.hessian, given),
      codebooks_(read_codebooks(options.codebooks)),
      feeds_rows_(bits_asked_for(source, options) >= kLeastFedBits) {}

const RowImportance* FitContexts::rows_of(const TensorCalibration& known, const PlannedTensor& t) const {
  return feeds_rows_ && t.method && t.method->entry->row_feedback ? known.fed_rows.get() : known.rows.get();
}

std::shared_ptr<const TensorCalibration> FitContexts::calibrated(const PlannedTensor& t) const {
  return calibration_ != nullptr ? calibration_->find(name(t)) : nullptr;
}

// Sensitivities are relative to the geometric mean over all tensors with a known loss. Other tensors keep 1, which is
// that mean.
void FitContexts::prepare(std::vector<PlannedTensor>* plan, std::vector<std::string>* notes) const {
  if (moments_.any()) match_moments(moments_, source_, *plan, notes);
  double sum = 0, weights = 0;
  std::vector<double> costs(plan->size());
  for (size_t k = 0; k < plan->size(); ++k) {
    PlannedTensor& t = (*plan)[k];
    const auto known = t.continuous() ? calibrated(t) : nullptr;
    const RowImportance* rows = known ? rows_of(*known, t) : nullptr;
    if (rows == nullptr) continue;
    const std::string where = tensor_name(source_, t.index);
    const auto elements = static_cast<double>(t.shape.size());
    costs[k] = rows->loss * energy_of(TensorRows(source_, t.index), where, rows->weights) / elements;
    if (costs[k] > 0) {  // no error costs anything of a matrix of zeros, which takes no bits either
      sum += elements * std::log2(costs[k]);
      weights += elements;
    }
    t.calibrated = true;
    t.coordinates = coordinates_by_row_weights(t.shape);
  }
  for (size_t k = 0; k < plan->size(); ++k) {
    if (costs[k] > 0) (*plan)[k].sensitivity = costs[k] / std::exp2(sum / weights);
  }
}

std::vector<size_t> FitContexts::coding_order(const std::vector<PlannedTensor>& plan) const {
  std::unordered_map<std::string, size_t> place;
  if (calibration_ != nullptr) {
    for (const std::string& tensor : calibration_->order()) place.emplace(tensor, place.size() + 1);
  }
  std::vector<size_t> order(plan.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto key = [&](size_t k) {
    const auto at = place.find(name(plan[k]));
    return at == place.end() ? 0 : at->second;
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  return order;
}

std::pair<FitContext, std::shared_ptr<const Moments>> FitContexts::context(const PlannedTensor& t, double bits,
                                                                           std::vector<std::string>* notes) const {
  FitContext ctx;
  ctx.seed = options_.seed;
  ctx.effort = options_.effort;
  ctx.codebooks = codebooks_;
  const auto known = calibrated(t);
  std::shared_ptr<const Moments> moments = known ? known->moments : moments_.find(name(t), t.shape.cols);
  if (moments) ctx.hessian = moments->h.view();
  if (t.step > 0) bits = std::clamp(trellis_rate(t.step), 0.1, 16.0);
  if (moments && t.method) ctx.damping = damping_at(bits, moments->profile);
  if (!known) return {ctx, std::move(moments)};
  if (notes != nullptr && !known->note.empty()) notes->push_back(known->note);
  if (const RowImportance* rows = rows_of(*known, t)) {
    ctx.row_weights = rows->weights;
    ctx.row_gains = rows->gains;
  }
  return {ctx, std::shared_ptr<const Moments>(known, moments.get())};
}

bool FitContexts::has_moments(const PlannedTensor& t) const {
  if (moments_.has(name(t), t.shape.cols)) return true;
  const auto known = calibrated(t);
  return known && known->moments;
}

Matrix<float> FitContexts::corrected(const PlannedTensor& t, const RowSource& original) const {
  const auto known = calibrated(t);
  if (!known || !(known->correction || known->weights)) return {};
  Matrix<float> w;
  if (known->weights) {
    w = known->weights();
  } else {
    w = Matrix<float>::uninitialized(t.shape.rows, t.shape.cols);
    original.read_rows(0, w.view());
  }
  if (!known->correction) return w;
  Matrix<float> out = w.clone();
  constexpr size_t kRows = 256;
  parallel_for(ceil_div(t.shape.rows, kRows), [&](size_t i) {
    const size_t row = i * kRows, rows = std::min(kRows, t.shape.rows - row);
    gemm(Op::kNone, Op::kNone, 1.0f, w.view().row_range(row, rows), known->correction->view(), 1.0f,
         out.view().row_range(row, rows));
  });
  return out;
}

std::string FitContexts::describe() const {
  std::string out = calibration_ != nullptr ? calibration_->describe() : "";
  if (moments_.any()) out += fmt::format("moments {} {}\n", options_.activations, options_.hessian);
  for (const std::filesystem::path& file : moments_.files()) out += describe_files(file);
  if (!options_.codebooks.empty()) out += "codebooks\n" + describe_files(options_.codebooks);
  return out;
}

}  // namespace occ
