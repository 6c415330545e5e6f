#include "compress/rate_control.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/parallel.h"
#include "compress/coordinates.h"
#include "compress/encode.h"
#include "io/json.h"
#include "metrics/limits.h"

namespace occ {
namespace {

constexpr double kDefaultBits = 4;
constexpr int kMostAttempts = 8;
constexpr size_t kLeastSample = size_t{1} << 15, kLargestSample = size_t{1} << 18;
constexpr size_t kFewTensors = 8;  // whose attempts cost more than exact estimates
// An attempt is good when it fills the ceiling this far; after two attempts a little less will do.
constexpr double kGood = 0.9975, kFair = 0.995, kFairSmall = 0.985;
constexpr uint64_t kSmallFile = 1'000'000;
constexpr double kMostOctaves = 14;  // steps from 2^-14 to 2^14 rms
constexpr double kLeastSensitivity = 1e-9;
constexpr double kMostSteering = 1;       // octaves
constexpr double kMostAdjustment = 0.06;  // bits per weight that some tensors may deviate from the others

// The x at which f, falling on the whole, comes closest to `target` from below, within `tolerance`. `slope`: of -f, a
// guess. Nothing if f stays above the target for all x up to kMostOctaves.
std::optional<double> seek_from_below(const std::function<double(double)>& f, double target, double tolerance, double x,
                                      double slope) {
  constexpr int kMostSteps = 20;
  const double goal = target - tolerance / 2;
  std::optional<double> low, high, best;  // f(low) > target >= f(high)
  double f_low = 0, f_high = 0, f_best = 0;
  double reach = 0.25;  // octaves to go while there is no bracket
  for (int i = 0; i < kMostSteps; ++i) {
    const double value = f(x);
    if (value <= target) {
      high = x, f_high = value;
      if (!best || value > f_best) best = x, f_best = value;
      if (value >= target - tolerance || x <= -kMostOctaves) break;
    } else {
      low = x, f_low = value;
      if (x >= kMostOctaves) break;
    }
    if (low && high) {
      if (std::fabs(*high - *low) < 1e-6) break;
      const double share = f_low > f_high ? (f_low - goal) / (f_low - f_high) : 0.5;
      x = *low + (*high - *low) * (i % 4 == 3 ? 0.5 : std::clamp(share, 0.02, 0.98));
    } else {
      const double guess = std::clamp((value - goal) / slope, -3.0, 3.0);
      x = std::clamp(x + (low ? std::max(guess, reach) : std::min(guess, -reach / 64)), -kMostOctaves, kMostOctaves);
      reach *= 2;
    }
  }
  return best;
}

}  // namespace

RateControl::RateControl(const TensorFile& source, const CompressOptions& options, std::vector<PlannedTensor>& plan,
                         FileSize file_size, Where where, Context context, FixedEnergy fixed_energy)
    : source_(source),
      options_(options),
      plan_(plan),
      file_size_(std::move(file_size)),
      where_(std::move(where)),
      context_(std::move(context)),
      fixed_energy_(std::move(fixed_energy)),
      energies_(plan.size(), -1.0),
      corrections_(plan.size(), 1.0),
      adjusted_(plan.size(), true),
      seen_(plan.size()),
      by_step_(plan.size()) {
  if (options.nmse && has(false)) {
    throw_usage(
        "--nmse: expected methods of continuous rate (auto, trellis, e8, pca, cpq(quantizer=trellis)) only, found '{}'",
        std::find_if(plan.begin(), plan.end(), [](const auto& t) {
          return t.method && !t.continuous();
        })->method->print());
  }
  read_sensitivities();
}

bool RateControl::has(bool continuous) const {
  return std::any_of(plan_.begin(), plan_.end(),
                     [&](const PlannedTensor& t) { return t.method && t.continuous() == continuous; });
}

void RateControl::set_ceiling() {
  if (options_.size) {
    ceiling_ = *options_.size;
  } else if (options_.ratio) {
    double bytes = 0;
    for (const TensorInfo& t : source_.tensors()) bytes += static_cast<double>(t.stored_bytes);
    ceiling_ = static_cast<uint64_t>(std::min(bytes / *options_.ratio, 0x1p62));
  } else if (has(true) && !options_.nmse) {
    // Bits of the file over all weights; tensors of a method with a fixed code width keep to that width.
    double bytes = 0;
    for (size_t k = 0; k < plan_.size(); ++k) {
      const double elements = static_cast<double>(source_.tensors()[plan_[k].index].elements());
      const bool fixed_width = plan_[k].method && !plan_[k].continuous();
      bytes += fixed_width ? static_cast<double>(predict(k)) : elements * options_.bits.value_or(kDefaultBits) / 8;
    }
    ceiling_ = static_cast<uint64_t>(bytes);
  }
}

void RateControl::read_sensitivities() {
  if (options_.sensitivity.empty()) return;
  const nlohmann::json json = parse_json_file(options_.sensitivity);
  const std::string what = options_.sensitivity.string();
  if (!json.is_object()) throw_input("{}: expected an object of tensor names and numbers", what);
  std::vector<std::string> unknown;
  size_t used = 0;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_number() ||
        !(value.get<double>() >= kLeastSensitivity && value.get<double>() <= 1 / kLeastSensitivity)) {
      throw_input("{}: tensor '{}': expected a sensitivity > 0, from {} to {}, found {}", what, printable(name),
                  kLeastSensitivity, 1 / kLeastSensitivity, printable(value.dump()));
    }
    bool found = false;
    for (PlannedTensor& t : plan_) {
      if (source_.tensors()[t.index].name != name) continue;
      t.sensitivity = value.get<double>();
      found = true;
      used += t.continuous();
    }
    if (!found) unknown.push_back(printable(name));
  }
  if (!unknown.empty()) {
    notes_.push_back(fmt::format("{}: {} names match no tensor, e.g. '{}'", what, unknown.size(), unknown[0]));
  }
  const auto continuous = std::count_if(plan_.begin(), plan_.end(), [](const auto& t) { return t.continuous(); });
  if (used < static_cast<size_t>(continuous)) {
    notes_.push_back(fmt::format("{}: {} of {} coded tensors have no sensitivity, 1 is taken", what,
                                 static_cast<size_t>(continuous) - used, continuous));
  }
}

// A share of every tensor, so that large models take a fraction of what coding takes.
size_t RateControl::sample_elements(const PlannedTensor& t) const {
  return std::clamp(t.shape.size() / 16, kLeastSample, kLargestSample);
}

// Steps are in units of the rms, and a sample may lack the row that has most of it: rms of all values over that of the
// sample. The first call reads all values, so NaN and infinities are found here.
double RateControl::sample_scale(size_t k, MatrixView<const float> sample, std::span<const double> row_weights) {
  const PlannedTensor& t = plan_[k];
  if (energies_[k] < 0) energies_[k] = energy_of(TensorRows(source_, t.index), where_(t.index), row_weights);
  if (sample.rows() == t.shape.rows) return 1;
  const double share = static_cast<double>(sample.rows()) / static_cast<double>(t.shape.rows);
  std::vector<double> sampled_weights;
  for (size_t r = 0; r < sample.rows() && !row_weights.empty(); ++r) {
    sampled_weights.push_back(row_weights[sampled_row(r, sample.rows(), t.shape.rows)]);
  }
  const double sampled = energy_of(MatrixSource(sample), where_(t.index), sampled_weights);
  return sampled > 0 && energies_[k] > 0 ? std::sqrt(energies_[k] * share / sampled) : 1;
}

std::string RateControl::recipe_at(const PlannedTensor& t, double scale) const {
  const double rms_free = t.coordinates.starts_with("rowscale > ") ? 1 : scale;
  return Recipe::parse(t.coordinates + t.method->recipe_at(t.step * rms_free, options_.effort).print()).print();
}

// Between two steps that are near each other bytes and errors are exponentials of the logarithm of the step.
std::optional<Estimate> RateControl::between(size_t k) const {
  constexpr double kNear = 0.5;  // octaves
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

uint64_t RateControl::predict(size_t k) {
  const PlannedTensor& t = plan_[k];
  const auto [it, is_new] = seen_[k].try_emplace(t.recipe);
  const std::optional<Estimate> near = is_new ? between(k) : std::nullopt;
  if (near) {
    it->second = *near;
  } else if (is_new) {
    const Recipe recipe = Recipe::parse(t.recipe);
    it->second.bytes = static_cast<double>(predict_blob_bytes(recipe, t.shape));
    if (it->second.bytes == 0) {
      const Matrix<float> sample = sample_rows(TensorRows(source_, t.index), sample_elements(t));
      const auto context = context_(t);
      const double scale = sample_scale(k, sample.view(), context.first.row_weights);
      it->second = estimate_blob(t.continuous() ? Recipe::parse(recipe_at(t, scale)) : recipe, sample.view(),
                                 t.shape.rows, context.first, where_(t.index));
      if (energies_[k] > 0) {  // what the sample lacks is coded like the rest of it
        it->second.nmse *= it->second.energy / energies_[k];
        it->second.energy = energies_[k];
      }
      estimated_ = true;
      if (t.continuous() && t.step > 0) by_step_[k][std::log2(t.step)] = it->second;
    }
  }
  return static_cast<uint64_t>(it->second.bytes * corrections_[k]);
}

void RateControl::learn(size_t k, uint64_t bytes) {
  const auto it = seen_[k].find(plan_[k].recipe);
  if (it == seen_[k].end() || !(it->second.bytes > 0)) return;
  constexpr double kMemory = 0.93;  // per tensor: some two layers of a model
  corrections_[k] = static_cast<double>(bytes) / it->second.bytes;
  drift_ = kMemory * drift_ + corrections_[k];
  drift_weight_ = kMemory * drift_weight_ + 1;
  if (attempt_ == 1 && plan_[k].calibrated) steered_.emplace_back(k, bytes);
}

void RateControl::steer(std::span<const size_t> open) {
  if (!ceiling_ || drift_weight_ == 0) return;
  if (planned_step_ == 0) planned_step_ = step_;
  double room = 0;  // bytes that an octave of the step is worth
  for (const size_t k : open) {
    if (!plan_[k].continuous()) continue;
    corrections_[k] = drift_ / drift_weight_;
    room += static_cast<double>(plan_[k].shape.size()) / 8;
  }
  const double missed = static_cast<double>(file_size_(plan_)) - static_cast<double>(target_);
  if (room == 0 || std::fabs(missed) < 1e-3 * static_cast<double>(target_)) return;
  const double planned = std::log2(planned_step_), now = std::log2(step_);
  const double octaves = std::clamp(now + missed / room, planned - kMostSteering, planned + kMostSteering) - now;
  step_ = std::exp2(now + octaves);
  for (const size_t k : open) {
    PlannedTensor& t = plan_[k];
    if (!t.continuous()) continue;
    Estimate moved = seen_[k].at(t.recipe);
    moved.bytes = std::max(0.0, moved.bytes - octaves * static_cast<double>(t.shape.size()) / 8);
    moved.nmse *= std::exp2(2 * octaves);
    set_step_of(k, step_);
    seen_[k].try_emplace(t.recipe, moved);
  }
}

void RateControl::choose_all_coordinates() {
  std::vector<size_t> open;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && plan_[k].method->entry->chooses_coordinates && !plan_[k].calibrated) open.push_back(k);
  }
  parallel_for(open.size(), [&](size_t i) {
    PlannedTensor& t = plan_[open[i]];
    const Matrix<float> sample = sample_rows(TensorRows(source_, t.index), sample_elements(t) / 2);
    const auto context = context_(t);
    const double scale = sample_scale(open[i], sample.view(), context.first.row_weights);
    const CoordinateChoice choice =
        choose_coordinates(*t.method, TensorRows(source_, t.index), sample.view(),
                           scale * step_ / std::sqrt(t.sensitivity), context.first, where_(t.index));
    t.coordinates = choice.prefix;
    t.step_factor = choice.step_factor;
    t.choice = choice.why;
  });
}

void RateControl::set_step(double step, bool all) {
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && (all || adjusted_[k])) set_step_of(k, step);
  }
}

void RateControl::set_step_of(size_t k, double step) {
  PlannedTensor& t = plan_[k];
  // As recipes print it: damping depends on the step, and equal recipes shall have equal bytes.
  t.step = std::stod(fmt::format("{:.5g}", step * t.step_factor / std::sqrt(t.sensitivity)));
  t.recipe = recipe_at(t, 1);
}

void RateControl::estimate_all() {
  std::vector<size_t> open;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && !seen_[k].contains(plan_[k].recipe)) open.push_back(k);
  }
  parallel_for(open.size(), [&](size_t i) { predict(open[i]); });
}

// Of all float tensors together, as the report has it.
double RateControl::predicted_nmse() {
  Energy sum = fixed_energy_();
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (!plan_[k].continuous()) continue;
    const Estimate& e = seen_[k].at(plan_[k].recipe);
    sum.errors += e.nmse * e.energy;
    sum.squares += e.energy;
  }
  return sum.squares > 0 ? sum.errors / sum.squares : 0;
}

void RateControl::seek_bytes(uint64_t target, bool all) {
  double weights = 0;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && (all || adjusted_[k])) weights += static_cast<double>(plan_[k].shape.size());
  }
  const auto bytes = [&](double octaves) {
    set_step(std::exp2(octaves), all);
    estimate_all();
    return static_cast<double>(file_size_(plan_));
  };
  const double goal = static_cast<double>(target);
  // The first attempt on many tensors may miss: correcting it takes a few of them only.
  const double tolerance = attempt_ <= 1 && plan_.size() > kFewTensors ? 2e-3 : 4e-4;
  const auto found = seek_from_below(bytes, goal, std::max(64.0, tolerance * goal), std::log2(step_), weights / 8);
  if (!found && !all) return seek_bytes(target, true);  // what was adjusted is too little
  if (!found) {
    const double least = bytes(kMostOctaves);
    throw_usage("the size asked for, {} bytes, cannot be met: the smallest file of this method has about {} bytes",
                *ceiling_, static_cast<uint64_t>(least));
  }
  step_ = std::exp2(*found);
  set_step(step_, all);
}

void RateControl::seek_nmse(double target) {
  const auto distortion = [&](double x) {  // falls with x
    set_step(std::exp2(-x), true);
    estimate_all();
    return std::log2(std::max(predicted_nmse(), 1e-30));
  };
  const auto found = seek_from_below(distortion, std::log2(target), 0.006, -std::log2(step_), 2);
  step_ = std::exp2(found ? -*found : -kMostOctaves);
  set_step(step_, true);
}

// Some tensors that can make up for `difference` bytes with a small change of their rate: the largest first, or those
// that no others were coded after.
void RateControl::choose_adjusted(double difference) {
  std::vector<size_t> order;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && !plan_[k].calibrated) order.push_back(k);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return plan_[a].shape.size() > plan_[b].shape.size(); });
  std::for_each(steered_.rbegin(), steered_.rend(), [&](const auto& coded) { order.push_back(coded.first); });
  std::fill(adjusted_.begin(), adjusted_.end(), false);
  double room = 0;
  for (const size_t k : order) {
    if (room >= std::fabs(difference)) break;
    adjusted_[k] = true;
    room += static_cast<double>(plan_[k].shape.size()) * kMostAdjustment / 8;
  }
}

// What was estimated before the first attempt was about other moments.
void RateControl::estimate_again(size_t k, uint64_t bytes) {
  seen_[k].clear();
  by_step_[k].clear();
  predict(k);
  const double estimated = seen_[k].at(plan_[k].recipe).bytes;
  corrections_[k] = estimated > 0 ? static_cast<double>(bytes) / estimated : 1;
}

void RateControl::plan() {
  const double bits = options_.bits.value_or(kDefaultBits);
  if (attempt_++ > 0) {
    if (restoring_) {
      for (size_t k = 0; k < plan_.size(); ++k) {
        if (!plan_[k].method) continue;
        plan_[k].recipe = best_->recipes[k].first;
        plan_[k].step = best_->recipes[k].second;
      }
    } else if (options_.nmse) {
      set_step(step_, true);
    } else if (has(true)) {
      seek_bytes(target_, false);
    } else {
      plan_to_size(plan_, target_, file_size_);
    }
    return;
  }
  double weights = 0;
  for (const PlannedTensor& t : plan_) weights += static_cast<double>(source_.tensors()[t.index].elements());
  const bool whole_file = options_.size || options_.ratio;
  target_bits_ = bits;
  if (has(false) && !whole_file) plan_fixed_bits(plan_, bits);
  if (has(true) || whole_file) set_ceiling();
  if (ceiling_) target_bits_ = std::clamp(8 * static_cast<double>(*ceiling_) / std::max(weights, 1.0), 0.1, 16.0);
  if (has(false) && has(true) && whole_file) {
    const auto [least, most] = common_widths(plan_);
    plan_fixed_bits(plan_, std::clamp<double>(std::floor(target_bits_), least, std::min(most, 8)));
  }
  target_ = ceiling_.value_or(0);
  if (!has(true)) {
    if (ceiling_) plan_to_size(plan_, target_, file_size_);
    return;
  }
  if (options_.nmse) {
    target_bits_ = gaussian_rate(*options_.nmse);
    step_ = trellis_step(target_bits_);
    choose_all_coordinates();
    return seek_nmse(*options_.nmse);
  }
  step_ = trellis_step(target_bits_);
  choose_all_coordinates();
  target_ = static_cast<uint64_t>(static_cast<double>(target_) * (1 - 0.4 * (1 - kGood)));
  try {
    seek_bytes(target_, true);
  } catch (const Error& e) {
    if (options_.size || options_.ratio || e.kind() != ErrorKind::kUsage) throw;
    // A few numbers in a file with a header: the bits go to the weights alone.
    ceiling_.reset();
    step_ = trellis_step(bits);
    set_step(step_, true);
    notes_.push_back(
        fmt::format("{} bits per weight are spent on the codes alone: the header, scales and the tensors kept as "
                    "they are leave no room for them in a file of that size",
                    bits));
  }
}

void RateControl::remember(double measure) {
  if (best_ && best_->measure >= measure) return;
  best_ = Best{{}, measure};
  for (const PlannedTensor& t : plan_) best_->recipes.emplace_back(t.recipe, t.step);
}

// No more attempts: the best one counts.
bool RateControl::give_up(const std::string& why_not) {
  if (!best_) throw_failed("{}", why_not);
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].method && plan_[k].recipe != best_->recipes[k].first) restoring_ = true;
  }
  return !restoring_;
}

bool RateControl::accept(uint64_t file_bytes, double nmse) {
  if (restoring_) return true;
  const bool any = std::any_of(plan_.begin(), plan_.end(), [](const PlannedTensor& t) { return t.method.has_value(); });
  if (options_.nmse && any) return accept_nmse(nmse);
  if (!ceiling_) return true;
  if (any) return accept_bytes(static_cast<double>(file_bytes));
  if (file_bytes > *ceiling_) {
    const std::string why =
        fmt::format("the tensors that are kept as they are take more than the {} bytes asked for", *ceiling_);
    if (options_.size || options_.ratio) throw_usage("{}", why);
    notes_.push_back(why);
  }
  return true;
}

bool RateControl::accept_nmse(double nmse) {
  const double target = *options_.nmse;
  if (nmse <= target) remember(nmse);
  if (nmse <= target && nmse > 0.99 * target) return true;
  if (attempt_ >= kMostAttempts || nmse == 0) {
    return give_up(
        fmt::format("--nmse: {} was not reached in {} attempts, the last one has {:.4g}", target, attempt_, nmse));
  }
  (nmse <= target ? small_step_ : large_step_) = step_;
  if (small_step_ && large_step_) {
    step_ = std::sqrt(*small_step_ * *large_step_);
  } else {
    // In proportion to the squared step at small ones, and never above 1 (trellis_nmse).
    const auto squared_step = [](double error) { return error < 1 ? error / (1 - error) : 1e6; };
    step_ *= std::isfinite(nmse) ? std::clamp(std::sqrt(squared_step(target) / squared_step(nmse)) * 0.998, 0.125, 4.0)
                                 : 0.5;
  }
  return false;
}

bool RateControl::accept_bytes(double size) {
  const double most = static_cast<double>(*ceiling_);
  const double fair = *ceiling_ > kSmallFile ? kFair : kFairSmall;
  const double wanted = has(true) && attempt_ <= 2 ? std::max(kGood, fair) : fair;
  if (size <= most) remember(size);
  if (size <= most && (size >= most * wanted || !has(true))) {
    if (size < most * fair) {
      notes_.push_back(
          fmt::format("the file stays {:.1f} % below the size asked for: rows are the smallest step, and codes have a "
                      "greatest width (indices of codebooks: whole bits)",
                      100 - 100 * size / most));
    }
    return true;
  }
  if (attempt_ >= kMostAttempts) {
    if (best_ && best_->measure < most * fair) {
      notes_.push_back(fmt::format("the file stays {:.1f} % below the size asked for: no step came closer",
                                   100 - 100 * best_->measure / most));
    }
    return give_up(fmt::format("no file of at most {} bytes was found in {} attempts", *ceiling_, attempt_));
  }
  // Predictions are right again where they were measured; near by they may be too low, then aim lower for a while.
  margin_ = 0.5 * (margin_ + std::max(0.0, size - most));
  target_ = static_cast<uint64_t>(std::max(0.0, most * (1 - 0.4 * (1 - kGood)) - margin_));
  if (has(true)) choose_adjusted(size - static_cast<double>(target_));
  if (attempt_ > 1) return false;
  parallel_for(steered_.size(), [&](size_t i) {
    if (adjusted_[steered_[i].first]) estimate_again(steered_[i].first, steered_[i].second);
  });
  return false;
}

}  // namespace occ
