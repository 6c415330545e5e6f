#include "compress/size_model.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "compress/encode.h"

namespace occ {
namespace {

constexpr size_t kLeastSample = size_t{1} << 15, kLargestSample = size_t{1} << 18;

}  // namespace

SizeModel::SizeModel(const TensorFile& source, int effort, const std::vector<PlannedTensor>& plan,
                     const FitContexts& contexts, const Parts& parts, const Join& join)
    : source_(source),
      effort_(effort),
      plan_(plan),
      contexts_(contexts),
      parts_(parts),
      join_(join),
      energies_(plan.size(), -1.0),
      corrections_(plan.size(), 1.0),
      seen_(plan.size()),
      by_step_(plan.size()) {}

size_t SizeModel::sample_elements(Shape shape) { return std::clamp(shape.size() / 16, kLeastSample, kLargestSample); }

TensorSample SizeModel::sample(size_t k, size_t elements) {
  const PlannedTensor& t = plan_[k];
  const std::string where = tensor_name(source_, t.index);
  TensorSample out;
  out.rows = sample_rows(TensorRows(source_, t.index), elements);
  std::tie(out.context, out.owner) = contexts_.context(t, target_bits_);
  const std::span<const double> weights = out.context.row_weights;
  if (energies_[k] < 0) energies_[k] = energy_of(TensorRows(source_, t.index), where, weights);
  const size_t rows = out.rows.rows();
  if (rows == t.shape.rows) return out;
  std::vector<double> sampled_weights;
  for (size_t r = 0; r < rows && !weights.empty(); ++r) {
    sampled_weights.push_back(weights[sampled_row(r, rows, t.shape.rows)]);
  }
  const double share = static_cast<double>(rows) / static_cast<double>(t.shape.rows);
  const double sampled = energy_of(MatrixSource(out.rows.view()), where, sampled_weights);
  if (sampled > 0 && energies_[k] > 0) out.scale = std::sqrt(energies_[k] * share / sampled);
  return out;
}

Estimate SizeModel::code_sample(size_t k) {
  const PlannedTensor& t = plan_[k];
  const TensorSample s = sample(k, sample_elements(t.shape));
  const Recipe recipe = Recipe::parse(t.continuous() ? t.recipe_at(s.scale, effort_) : t.recipe);
  Estimate e = estimate_blob(recipe, s.rows.view(), t.shape.rows, s.context, tensor_name(source_, t.index));
  if (energies_[k] > 0) {  // the sum of squared errors stays: large values that the sample lacks add none
    e.nmse *= e.energy / energies_[k];
    e.energy = energies_[k];
  }
  sampled_ = true;
  if (t.continuous() && t.step > 0) by_step_[k][std::log2(t.step)] = e;
  return e;
}

// Interpolates between two steps that are near each other. Logarithms of bytes and of errors are nearly linear in the
// logarithm of the step there.
std::optional<Estimate> SizeModel::between(size_t k) const {
  constexpr double kNear = 0.5;  // largest distance of the two steps, in octaves
  const PlannedTensor& t = plan_[k];
  if (!t.continuous() || !(t.step > 0)) return std::nullopt;
  const double x = std::log2(t.step);
  const auto above = by_step_[k].lower_bound(x);
  if (above == by_step_[k].end() || above == by_step_[k].begin()) return std::nullopt;
  const auto below = std::prev(above);
  if (above->first - below->first > kNear || !(below->second.nmse > 0)) return std::nullopt;
  const double share = (x - below->first) / (above->first - below->first);
  const auto mix = [&](double a, double b) { return a * std::pow(b / a, share); };
  return Estimate{mix(below->second.bytes, above->second.bytes), mix(below->second.nmse, above->second.nmse),
                  below->second.energy};
}

uint64_t SizeModel::predict(size_t k) {
  const PlannedTensor& t = plan_[k];
  const auto [it, is_new] = seen_[k].try_emplace(t.recipe);
  if (is_new) {
    if (const std::optional<Estimate> near = between(k)) {
      it->second = *near;
    } else {
      it->second.bytes = static_cast<double>(predict_blob_bytes(Recipe::parse(t.recipe), t.shape));
      if (it->second.bytes == 0) it->second = code_sample(k);
    }
  }
  return static_cast<uint64_t>(it->second.bytes * corrections_[k]);
}

void SizeModel::predict_all() {
  std::vector<size_t> open;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && !seen_[k].contains(plan_[k].recipe)) open.push_back(k);
  }
  parallel_for(open.size(), [&](size_t i) { predict(open[i]); });
}

uint64_t SizeModel::file_bytes() {
  std::vector<uint64_t> blob_bytes;
  for (size_t k = 0; k < plan_.size(); ++k) {
    const std::optional<Part>& part = parts_[plan_[k].index];
    const bool coded = part && part->record.recipe == plan_[k].recipe;
    blob_bytes.push_back(plan_[k].kept() ? 0 : coded ? part->blob_bytes : predict(k));
  }
  return join_.file_bytes(plan_, parts_, blob_bytes);
}

double SizeModel::nmse() const {
  double errors = 0, squares = 0;
  for (const PlannedTensor& t : plan_) {
    if (t.continuous() || !parts_[t.index]) continue;
    errors += parts_[t.index]->sum_errors;
    squares += parts_[t.index]->sum_squares;
  }
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (!plan_[k].continuous()) continue;
    const Estimate& e = seen_[k].at(plan_[k].recipe);
    errors += e.nmse * e.energy;
    squares += e.energy;
  }
  return squares > 0 ? errors / squares : 0;
}

bool SizeModel::learn(size_t k, uint64_t bytes) {
  const auto it = seen_[k].find(plan_[k].recipe);
  if (it == seen_[k].end() || !(it->second.bytes > 0)) return false;
  constexpr double kMemory = 0.93;  // weight of the past per tensor: remembers about two layers of a model
  corrections_[k] = static_cast<double>(bytes) / it->second.bytes;
  drift_ = kMemory * drift_ + corrections_[k];
  drift_weight_ = kMemory * drift_weight_ + 1;
  return true;
}

bool SizeModel::correct_like_recent(size_t k) {
  if (drift_weight_ == 0) return false;
  corrections_[k] = drift_ / drift_weight_;
  return true;
}

void SizeModel::predict_again(size_t k, uint64_t bytes) {
  seen_[k].clear();
  by_step_[k].clear();
  predict(k);
  const double predicted = seen_[k].at(plan_[k].recipe).bytes;
  corrections_[k] = predicted > 0 ? static_cast<double>(bytes) / predicted : 1;
}

Estimate SizeModel::at_longer_step(size_t k, double octaves) const {
  Estimate moved = seen_[k].at(plan_[k].recipe);
  moved.bytes = std::max(0.0, moved.bytes - octaves * static_cast<double>(plan_[k].shape.size()) / 8);
  moved.nmse *= std::exp2(2 * octaves);
  return moved;
}

}  // namespace occ
