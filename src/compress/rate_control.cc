#include "compress/rate_control.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/option_name.h"
#include "base/parallel.h"
#include "compress/fixed_width.h"
#include "compress/forms.h"
#include "compress/sensitivity.h"
#include "metrics/limits.h"

namespace occ {
namespace {

constexpr double kDefaultBits = 4;
constexpr int kMostAttempts = 8;
constexpr size_t kFewTensors = 8;  // with up to this many tensors, an exact estimate costs less than another attempt
// An attempt is good enough if it fills this share of the ceiling. From the third attempt on, a little less is enough.
constexpr double kGood = 0.9975, kFair = 0.995, kFairSmall = 0.985;
constexpr uint64_t kSmallFile = 1'000'000;
constexpr double kMostSteering = 1;  // largest change of the step while tensors are coded, in octaves
constexpr double kBlobUnit = 64;     // bytes; blobs are multiples of this, which matters in the smallest files

void require_continuous_rates(const std::vector<PlannedTensor>& plan) {
  const auto found = std::find_if(plan.begin(), plan.end(), [](const auto& t) { return t.method && !t.continuous(); });
  if (found == plan.end()) return;
  std::string known;
  for (const MethodEntry& m : method_registry()) {
    if (Method::parse(m.name).continuous()) known += fmt::format("{}{}", known.empty() ? "" : ", ", m.name);
  }
  throw_usage("{}: expected methods of continuous rate ({}) only, found '{}'", option_name("nmse"), known,
              found->method->print());
}

}  // namespace

RateControl::RateControl(const TensorFile& source, const CompressOptions& options, std::vector<PlannedTensor>& plan,
                         const FitContexts& contexts, const Parts& parts, const Join& join)
    : source_(source),
      options_(options),
      plan_(plan),
      join_(join),
      sizes_(source, options.effort, plan, contexts, parts, join),
      step_(plan, sizes_, options.effort) {
  if (options.nmse) require_continuous_rates(plan);
  if (!options.sensitivity.empty()) read_sensitivities(options.sensitivity, source, &plan, &notes_);
}

void RateControl::check() {
  if (has_fixed_width() && !options_.size && !options_.ratio) set_width(plan_, options_.bits.value_or(kDefaultBits));
  if (!options_.size && !options_.ratio) return;
  uint64_t kept = join_.side_file_bytes(), input = 0;
  bool any = false;  // whether there is a tensor whose size follows from the ceiling
  for (const PlannedTensor& t : plan_) {
    const TensorInfo& info = source_.tensors()[t.index];
    input += info.stored_bytes;
    any |= t.method.has_value();
    // Floats may turn out to be stored in 16 bits.
    if (t.kept()) kept += info.elements() * dtype_size(info.dtype == DType::kF32 ? DType::kBF16 : info.dtype);
  }
  const double most =
      options_.size ? static_cast<double>(*options_.size) : static_cast<double>(input) / *options_.ratio;
  if (!any || static_cast<double>(kept) <= most) return;
  throw_usage("the size asked for, {:.0f} bytes, cannot be met: what is kept as it is takes {} bytes", most, kept);
}

bool RateControl::has_continuous() const {
  return std::any_of(plan_.begin(), plan_.end(), [](const PlannedTensor& t) { return t.continuous(); });
}

bool RateControl::has_fixed_width() const {
  return std::any_of(plan_.begin(), plan_.end(), [](const PlannedTensor& t) { return t.method && !t.continuous(); });
}

void RateControl::set_ceiling() {
  if (options_.size) {
    ceiling_ = *options_.size;
  } else if (options_.ratio) {
    double bytes = 0;
    for (const TensorInfo& t : source_.tensors()) bytes += static_cast<double>(t.stored_bytes);
    ceiling_ = static_cast<uint64_t>(std::min(bytes / *options_.ratio, 0x1p62));
  } else if (has_continuous() && !options_.nmse) {
    // `bits` counts all bits of the file per weight. Tensors of a method with a fixed code width count with that width.
    double bytes = 0;
    for (size_t k = 0; k < plan_.size(); ++k) {
      const double elements = static_cast<double>(source_.tensors()[plan_[k].index].elements());
      const bool fixed_width = plan_[k].method && !plan_[k].continuous();
      bytes +=
          fixed_width ? static_cast<double>(sizes_.predict(k)) : elements * options_.bits.value_or(kDefaultBits) / 8;
    }
    ceiling_ = static_cast<uint64_t>(bytes);
  }
}

void RateControl::learn(size_t k, uint64_t bytes) {
  if (sizes_.learn(k, bytes) && attempt_ == 1 && plan_[k].calibrated) steered_.emplace_back(k, bytes);
}

void RateControl::steer(std::span<const size_t> open) {
  if (!ceiling_) return;
  if (first_step_ == 0) first_step_ = step_.value();
  double room = 0;  // bytes that the file loses if the step becomes an octave longer
  for (const size_t k : open) {
    if (!plan_[k].continuous()) continue;
    if (!sizes_.correct_like_recent(k)) return;
    room += static_cast<double>(plan_[k].shape.size()) / 8;
  }
  const double missed = static_cast<double>(sizes_.file_bytes()) - static_cast<double>(target_);
  if (room == 0 || std::fabs(missed) < 1e-3 * static_cast<double>(target_)) return;
  const double first = std::log2(first_step_), now = std::log2(step_.value());
  step_.lengthen(open, std::clamp(now + missed / room, first - kMostSteering, first + kMostSteering) - now);
}

void RateControl::choose_all_coordinates() {
  std::vector<size_t> open;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && plan_[k].method->entry->chooses_coordinates && !plan_[k].calibrated) open.push_back(k);
  }
  parallel_for(open.size(), [&](size_t i) {
    PlannedTensor& t = plan_[open[i]];
    const TensorSample s = sizes_.sample(open[i], SizeModel::sample_elements(t.shape) / 2);
    t.coordinates = choose_coordinates(*t.method, TensorRows(source_, t.index), s.rows.view(),
                                       s.scale * step_.value() / std::sqrt(t.sensitivity), s.context,
                                       tensor_name(source_, t.index));
  });
}

void RateControl::seek_bytes(bool all) {
  // The first attempt may be less exact if there are many tensors, because a correction changes only a few of them.
  const double tolerance = attempt_ <= 1 && plan_.size() > kFewTensors ? 2e-3 : 4e-4;
  const auto target = static_cast<double>(target_);
  if (step_.seek_bytes(target, std::max(64.0, tolerance * target), all)) return;
  sizes_.predict_all();
  throw_usage("the size asked for, {} bytes, cannot be met: the smallest file of this method has about {} bytes",
              *ceiling_, sizes_.file_bytes());
}

// Chooses tensors that can make up for `difference` bytes with a small change of their rate: the largest ones, and
// after these the calibrated tensors that were coded last, because few others were fitted to them.
void RateControl::choose_adjusted(double difference) {
  std::vector<size_t> order;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].continuous() && !plan_[k].calibrated) order.push_back(k);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return plan_[a].shape.size() > plan_[b].shape.size(); });
  std::for_each(steered_.rbegin(), steered_.rend(), [&](const auto& coded) { order.push_back(coded.first); });
  step_.choose_adjusted(order, difference);
}

void RateControl::set_recipes() {
  if (attempt_++ == 0) return choose_all_forms();
  if (restoring_) {
    restore_best();
  } else if (options_.nmse) {
    step_.set(step_.value(), true);
  } else if (has_continuous()) {
    seek_bytes(false);
  } else {
    fit_widths(plan_, target_, [&] { return sizes_.file_bytes(); });
  }
}

// Forms are compared at the budgets that the file gives to the first form of every tensor.
void RateControl::choose_all_forms() {
  std::vector<size_t> open;
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (!plan_[k].method || !plan_[k].method->chooses_form()) continue;
    open.push_back(k);
    plan_[k].forms = plan_[k].method->entry->forms;
    plan_[k].method = Method::parse(plan_[k].forms.front());
  }
  set_first_recipes();
  if (open.empty()) return;
  for (const size_t k : open) {
    choose_form(sizes_.sample(k, plan_[k].shape.size()), tensor_name(source_, plan_[k].index), &plan_[k]);
  }
  set_first_recipes();
}

void RateControl::set_first_recipes() {
  const double bits = options_.bits.value_or(kDefaultBits);
  double weights = 0;
  for (const PlannedTensor& t : plan_) weights += static_cast<double>(source_.tensors()[t.index].elements());
  const bool whole_file = options_.size || options_.ratio;
  sizes_.set_target_bits(bits);
  if (has_fixed_width() && !whole_file) set_width(plan_, bits);
  if (has_continuous() || whole_file) set_ceiling();
  if (ceiling_) {
    sizes_.set_target_bits(std::clamp(8 * static_cast<double>(*ceiling_) / std::max(weights, 1.0), 0.1, 16.0));
  }
  if (has_fixed_width() && has_continuous() && whole_file) {
    const auto [least, most] = common_widths(plan_);
    set_width(plan_, std::clamp<double>(std::floor(sizes_.target_bits()), least, std::min(most, 8)));
  }
  target_ = ceiling_.value_or(0);
  if (!has_continuous()) {
    if (ceiling_) fit_widths(plan_, target_, [&] { return sizes_.file_bytes(); });
    return;
  }
  if (options_.nmse) sizes_.set_target_bits(gaussian_rate(*options_.nmse));
  step_.start_from(trellis_step(sizes_.target_bits()));
  choose_all_coordinates();
  if (options_.nmse) return step_.seek_nmse(*options_.nmse);
  target_ = static_cast<uint64_t>(static_cast<double>(target_) * (1 - 0.4 * (1 - kGood)));
  try {
    seek_bytes(true);
  } catch (const Error& e) {
    if (whole_file || e.kind() != ErrorKind::kUsage) throw;
    // The file is too small for this rate, because it has few weights and a header. The bits are then spent on the
    // weights alone.
    ceiling_.reset();
    step_.set(trellis_step(bits), true);
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

void RateControl::restore_best() {
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (!plan_[k].method) continue;
    plan_[k].recipe = best_->recipes[k].first;
    plan_[k].step = best_->recipes[k].second;
  }
}

// Called when no more attempts are made. Takes the best attempt so far, or fails if there is none.
bool RateControl::give_up(const std::string& why_not) {
  if (!best_) throw_failed("{}", why_not);
  for (size_t k = 0; k < plan_.size(); ++k) {
    if (plan_[k].method && plan_[k].recipe != best_->recipes[k].first) restoring_ = true;
  }
  return !restoring_;
}

bool RateControl::accept(double nmse) {
  if (restoring_) return true;
  const bool any = std::any_of(plan_.begin(), plan_.end(), [](const PlannedTensor& t) { return t.method.has_value(); });
  if (options_.nmse && any) return accept_nmse(nmse);
  if (!ceiling_) return true;
  const uint64_t file_bytes = sizes_.file_bytes();
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
    return give_up(fmt::format("{}: {} was not reached in {} attempts, the last one has {:.4g}", option_name("nmse"),
                               target, attempt_, nmse));
  }
  (nmse <= target ? small_step_ : large_step_) = step_.value();
  if (small_step_ && large_step_) {
    step_.start_from(std::sqrt(*small_step_ * *large_step_));
  } else {
    // The error grows with the squared step if the step is small, and never exceeds 1 (trellis_nmse).
    const auto squared_step = [](double error) { return error < 1 ? error / (1 - error) : 1e6; };
    const double factor = std::sqrt(squared_step(target) / squared_step(nmse)) * 0.998;
    step_.start_from(step_.value() * (std::isfinite(nmse) ? std::clamp(factor, 0.125, 4.0) : 0.5));
  }
  return false;
}

bool RateControl::accept_bytes(double size) {
  const double most = static_cast<double>(*ceiling_);
  const double fair = *ceiling_ > kSmallFile ? kFair : kFairSmall;
  const double wanted = has_continuous() && attempt_ <= 2 ? std::max(kGood, fair) : fair;
  if (size <= most) remember(size);
  if (size <= most && (size >= most * wanted || !has_continuous())) {
    if (size < most * fair) {
      notes_.push_back(
          fmt::format("the file stays {:.1f} % below the size asked for: rows are the smallest step, and codes have a "
                      "greatest width (indices of codebooks: whole bits)",
                      100 - 100 * size / most));
    }
    return true;
  }
  if (attempt_ >= kMostAttempts) {
    if (best_ && best_->measure < most * fair - kBlobUnit) {
      notes_.push_back(fmt::format("the file stays {:.1f} % below the size asked for: no step came closer",
                                   100 - 100 * best_->measure / most));
    }
    return give_up(fmt::format("no file of at most {} bytes was found in {} attempts", *ceiling_, attempt_));
  }
  // Predictions are exact for recipes that were coded, but may be too low for others. So a lower size is aimed at for a
  // while.
  margin_ = 0.5 * (margin_ + std::max(0.0, size - most));
  target_ = static_cast<uint64_t>(std::max(0.0, most * (1 - 0.4 * (1 - kGood)) - margin_));
  if (has_continuous()) choose_adjusted(size - static_cast<double>(target_));
  if (attempt_ > 1) return false;
  parallel_for(steered_.size(), [&](size_t i) {
    if (step_.adjusts(steered_[i].first)) sizes_.predict_again(steered_[i].first, steered_[i].second);
  });
  return false;
}

}  // namespace occ
