#include "compress/part_coder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "compress/row_scales.h"
#include "container/blob.h"
#include "recipe/bound.h"

namespace occ {
namespace {

// Returns a float type of 16 bits that holds all values of an f32 tensor exactly, if there is one. It halves the bytes
// of vectors from models in bf16.
std::optional<DType> smaller_type(DType dtype, ByteSpan raw) {
  if (dtype != DType::kF32 || raw.empty()) return std::nullopt;
  std::vector<float> values(raw.size() / sizeof(float)), back(values.size());
  std::memcpy(values.data(), raw.data(), raw.size());
  Bytes small(values.size() * sizeof(uint16_t));
  for (const DType type : {DType::kF16, DType::kBF16}) {
    convert_from_f32(type, values.data(), small.data(), values.size());
    convert_to_f32(type, small.data(), back.data(), values.size());
    if (std::memcmp(values.data(), back.data(), raw.size()) == 0) return type;
  }
  return std::nullopt;
}

Bytes as_type(DType type, ByteSpan raw_f32) {
  std::vector<float> values(raw_f32.size() / sizeof(float));
  std::memcpy(values.data(), raw_f32.data(), raw_f32.size());
  Bytes out(values.size() * dtype_size(type));
  convert_from_f32(type, values.data(), out.data(), values.size());
  return out;
}

}  // namespace

PartCoder::PartCoder(const TensorFile& source, const CompressOptions& options, const FitContexts& contexts,
                     Meter* meter, std::vector<std::string>* notes)
    : source_(source),
      options_(options),
      contexts_(contexts),
      meter_(meter),
      notes_(notes),
      parts_(source.tensors().size()) {}

void PartCoder::open_store(const std::filesystem::path& output, const std::string& job) {
  store_.emplace(output, job, options_.resume, options_.force);
}

void PartCoder::remove_store() {
  if (saving_.valid()) saving_.wait();
  store_->remove();
}

void PartCoder::finish_saving() {
  if (saving_.valid()) saving_.get();
}

// Returns the sum of the squares of the finite values, so that the total error is the same as in `occ compare`.
double PartCoder::energy(size_t i) const {
  double sum = 0;
  std::vector<float> values(std::min<uint64_t>(info(i).elements(), size_t{1} << 16));
  for (uint64_t first = 0; first < info(i).elements(); first += values.size()) {
    values.resize(std::min<uint64_t>(values.size(), info(i).elements() - first));
    source_.read_f32(i, first, values.size(), values.data());
    for (const float v : values) sum += std::isfinite(v) ? static_cast<double>(v) * v : 0;
  }
  return sum;
}

void PartCoder::keep(const PlannedTensor& t) {
  throw_if_interrupted();
  const TensorInfo& in = info(t.index);
  Bytes raw = source_bytes(t.index);
  Part part;
  part.record.name = in.name, part.record.shape = in.shape, part.record.dtype = in.dtype;
  part.source_hash = hash64(raw);
  part.record.stored = smaller_type(in.dtype, raw);
  if (part.record.stored) raw = as_type(*part.record.stored, raw);
  part.record.checksum = tensor_checksum(part.record, raw);
  if (is_float(in.dtype)) part.sum_squares = energy(t.index);
  parts_[t.index] = std::move(part);
}

void PartCoder::keep_instead(PlannedTensor* t, const std::string& why) {
  t->method.reset();
  t->recipe.clear();
  t->note = why;
  notes_->push_back(fmt::format("{} is kept as it is: {}", info(t->index).name, why));
  keep(*t);
}

EncodedMatrix PartCoder::encode(const PlannedTensor& t, const FitContext& ctx) const {
  const TensorRows original(source_, t.index);
  const Matrix<float> corrected = contexts_.corrected(t, original);
  const MatrixSource corrected_source(corrected.view());
  const bool as_it_is = corrected.size() == 0;
  return encode_matrix(
      Recipe::parse(t.recipe), as_it_is ? static_cast<const RowSource&>(original) : corrected_source, ctx,
      where(t.index), [this](uint64_t bytes) { meter_->add(bytes); }, as_it_is ? nullptr : &original);
}

void PartCoder::code(PlannedTensor* t, double bits) {
  const TensorInfo& in = info(t->index);
  std::optional<Part>& part = parts_[t->index];
  if (!part) part = store_->find(t->index);
  if (part && part->record.recipe == t->recipe && part->record.name == in.name) {
    return meter_->add(t->shape.size() * sizeof(float));
  }
  part.emplace();
  auto [ctx, moments] = contexts_.context(*t, bits, &part->notes);
  ctx.fallbacks = &part->notes;
  EncodedMatrix m = encode(*t, ctx);
  const uint64_t raw_bytes = in.elements() * dtype_size(in.dtype);
  if (m.blob.size() >= raw_bytes) {
    return keep_instead(t, fmt::format("coded it would not be smaller ({} bytes)", m.blob.size()));
  }
  // Also true for NaN: a transform may overflow near the end of the float range. An error in directions that the inputs
  // do not have is no reason to keep a tensor. If the rate is that of the whole file, a tensor may get no bits at all.
  const bool nothing_left = !(std::min(m.distortion.nmse(), m.weighted_error.value_or(1)) < 1);
  if ((nothing_left && !t->continuous()) || !std::isfinite(m.distortion.nmse())) {
    return keep_instead(t, "coded its error would be as large as the values themselves");
  }
  if (m.distortion.nmse() >= 1 && m.weighted_error) {
    part->notes.push_back("its error is larger than its values, in directions that the inputs do not have");
  }
  TensorRecord& r = part->record;
  r.name = in.name, r.shape = in.shape, r.dtype = in.dtype, r.recipe = t->recipe;
  r.nmse = six_digits(m.distortion.nmse());
  if (m.weighted_error) r.weighted_error = six_digits(*m.weighted_error), r.eigenvalues = moments->profile;
  r.row_energies = m.row_energies;
  r.decoded_hash = m.decoded_hash;
  r.checksum = tensor_checksum(r, m.blob);
  part->source_hash = m.source_hash;
  part->sum_squares = m.distortion.reference_energy();
  part->sum_errors = m.distortion.squared_error();
  part->blob_bytes = m.blob.size();
  // The part is saved while the next tensor is coded.
  finish_saving();
  saving_ = std::async(std::launch::async,
                       [this, i = t->index, copy = *part, blob = std::move(m.blob)] { store_->save(i, copy, blob); });
}

void PartCoder::tune(std::vector<PlannedTensor>* plan, CalibrationSource* calibration, const TensorFile& coded) {
  std::set<std::string> scaled, fixed;
  for (const PlannedTensor& t : *plan) {
    if (t.kept() && t.note == kAskedToKeep) fixed.insert(info(t.index).name);
    if (!t.kept() && has_row_scales(Recipe::parse(t.recipe))) scaled.insert(info(t.index).name);
  }
  const TunedValues tuned = calibration->tune(coded, scaled, fixed, notes_);
  for (PlannedTensor& t : *plan) {
    const auto& values = t.kept() ? tuned.vectors : tuned.row_factors;
    const auto found = values.find(info(t.index).name);
    if (found == values.end()) continue;
    if (t.kept() && set_vector(t, found->second)) t.note = "tuned";
    if (t.kept()) continue;
    set_row_factors(t, found->second);
    t.note = "scales of rows tuned";
  }
}

bool PartCoder::set_vector(const PlannedTensor& t, const std::vector<float>& values) {
  const TensorInfo& in = info(t.index);
  if (in.elements() != values.size()) return false;
  Bytes& raw = tuned_[t.index];
  const DType type = parts_[t.index]->record.stored.value_or(in.dtype);
  raw.resize(values.size() * dtype_size(type));
  convert_from_f32(type, values.data(), raw.data(), values.size());
  parts_[t.index]->record.checksum = tensor_checksum(parts_[t.index]->record, raw);
  return true;
}

void PartCoder::set_row_factors(const PlannedTensor& t, const std::vector<float>& factors) {
  Part& part = *parts_[t.index];
  row_factors_[t.index] = factors;
  const Matrix<float> decoded = decode(t.index);
  const Measured m = measure(TensorRows(source_, t.index), decoded.view());
  part.record.nmse = six_digits(m.distortion.nmse());
  part.record.decoded_hash = m.decoded_hash;
  const Bytes blob = bytes(t.index);
  part.record.checksum = tensor_checksum(part.record, blob);
  part.blob_bytes = blob.size();
  part.sum_errors = m.distortion.squared_error();
}

// Parts are stored as they were coded, without tuning, so that a resumed run tunes the same values.
Bytes PartCoder::bytes(size_t i) const {
  if (parts_[i] && parts_[i]->record.coded()) {
    Bytes blob = store_->read_blob(i);
    const auto factors = row_factors_.find(i);
    if (factors == row_factors_.end()) return blob;
    return with_scaled_rows(Recipe::parse(parts_[i]->record.recipe), blob, factors->second, where(i));
  }
  if (const auto tuned = tuned_.find(i); tuned != tuned_.end()) return tuned->second;
  const Bytes raw = source_bytes(i);
  return parts_[i] && parts_[i]->record.stored ? as_type(*parts_[i]->record.stored, raw) : raw;
}

Bytes PartCoder::source_bytes(size_t i) const {
  Bytes raw(info(i).elements() * dtype_size(info(i).dtype));
  source_.read_raw(i, 0, info(i).elements(), raw.data());
  return raw;
}

Matrix<float> PartCoder::decode(size_t i) {
  const std::optional<Part>& part = parts_[i];
  if (!part || !part->record.coded()) return {};
  finish_saving();
  const Bytes blob = bytes(i);
  PlaneReader planes(unpack_blob(blob, where(i)), where(i));
  const Shape shape = matrix_shape(part->record.shape);
  const std::unique_ptr<BoundRecipe> recipe = load_recipe(Recipe::parse(part->record.recipe), shape, planes);
  Matrix<float> out = Matrix<float>::uninitialized(shape.rows, shape.cols);
  recipe->dequantize({0, 0, shape.rows, shape.cols}, out.view());
  return out;
}

}  // namespace occ
