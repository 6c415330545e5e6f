#include "calibration/model_calibration.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

#include "base/cache.h"
#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "calibration/metric_sum.h"
#include "calibration/row_factor.h"
#include "calibration/tune.h"
#include "linalg/linalg.h"
#include "metrics/limits.h"

namespace occ {
namespace {

constexpr double kLeastWeight = 0.01;  // of a row, beside the mean of all
// Tables that rows are looked up in. Texts differ most in how often words occur in them: weights of rows are taken to
// this power, their mean stays. And layers after the table make up for their own errors, not for those of the table:
// coded alone it cost twice the KL that its share of the second-order loss says. Both by measurement,
// docs/explanation/calibration.md.
constexpr double kTablePower = 0.65, kTableFactor = 1.5;

// Added to the correlations of the gradients of rows, from so many tokens. Measured on SmolLM2 (8,192 and 16,384
// tokens, 192 to 576 rows, gradients of other texts): .1 to 1 are best for queries and keys, .3 to 1 for the others.
double row_damping(size_t rows, size_t tokens) {
  return 0.3 + 2 * static_cast<double>(std::min(rows, kRowBlock)) / static_cast<double>(tokens);
}

// Keys and values count at a token for what later ones attend to there. Share of the weights of tokens that gradients
// make; the others are alike. .25 to .75 measured alike.
constexpr double kTokenShare = 0.5;

std::vector<float> mean_one(std::vector<float> values) {
  double sum = 0;
  for (const float v : values) sum += double{v};
  if (!(sum > 0) || !std::isfinite(sum)) return {};
  for (float& v : values) v = static_cast<float>(double{v} * static_cast<double>(values.size()) / sum);
  return values;
}

}  // namespace

// Moments lie in scratch files until they are asked for.
struct ModelCalibration::Metric {
  size_t stage = 0, group = 0, width = 0;
  std::vector<std::string> tensors;
  std::vector<float> token_weights;  // of the tokens it was planned with, mean 1; empty: all alike
  ScratchMatrix h, correction;
  std::unique_ptr<std::mutex> mutex = std::make_unique<std::mutex>();
  mutable std::weak_ptr<const Moments> moments;  // in use
  mutable std::vector<uint8_t> profile;
  std::string note;
};

ModelCalibration::~ModelCalibration() = default;

ModelCalibration::ModelCalibration(const TensorFile& source, std::vector<std::vector<TokenId>> sequences,
                                   std::string what, const std::filesystem::path& folder, CalibrationSettings settings)
    : source_(source),
      sequences_(std::move(sequences)),
      what_(std::move(what)),
      folder_(folder),
      settings_(std::move(settings)),
      config_(read_config(source)) {
  plan();
}

// What to plan with, from some of the sequences and the model as it was.
void ModelCalibration::plan() {
  std::vector<std::vector<TokenId>> some;
  const size_t count = std::min(settings_.plan_sequences, sequences_.size());
  for (size_t i = 0; i < count; ++i) {
    planned_.push_back(i * sequences_.size() / count);
    some.push_back(sequences_[planned_.back()]);
  }
  Prefix prefix(source_, config_, some, folder_);
  name_stages(prefix);
  measure_importance(some);
  plan_moments(prefix);
  weigh_tables();
}

void ModelCalibration::name_stages(Prefix& prefix) {
  stages_.resize(prefix.stages());
  for (size_t s = 0; s < stages_.size(); ++s) {
    Stage& stage = stages_[s];
    const std::vector<std::vector<std::string>> groups = prefix.groups(s);
    for (const std::vector<std::string>& g : groups) stage.tensors.insert(stage.tensors.end(), g.begin(), g.end());
    const bool head = s + 1 == stages_.size() && !config_.encoder;
    // Where W^T is stored, columns are outputs, and the moments of the inputs are of no use.
    if (config_.transposed_weights && !head) continue;
    const bool attention = !head && s % Prefix::kStages == 0 && stage.tensors.size() == 3;  // q, k, v
    for (size_t g = 0; g < groups.size(); ++g) {
      for (size_t i = 0; i < groups[g].size(); ++i) {
        const std::string& tensor = groups[g][i];
        if (i == 0 || attention) {
          stage.metrics.push_back(metrics_.size());
          metrics_.emplace_back();
          metrics_.back().stage = s;
          metrics_.back().group = g;
          metrics_.back().width = matrix_shape(source_.tensors()[source_.find(tensor)].shape).cols;
        }
        metrics_.back().tensors.push_back(tensor);
        metric_of_.emplace(tensor, metrics_.size() - 1);
        if (attention && i > 0) by_token_.insert(tensor);
        // Queries of a head meet the same few keys. Outputs to the residual stream would have something to gain as
        // well, but whole models came out no better for it.
        if (attention && i < 2) by_row_.insert(tensor);
      }
    }
  }
}

// Roots of the weights of all tokens, or of those planned with; mean 1. Empty: all alike.
std::vector<float> ModelCalibration::token_roots(const Metric& metric, bool plan) const {
  if (metric.token_weights.empty()) return {};
  std::vector<float> out;
  size_t next = 0, total = 0;
  for (const std::vector<TokenId>& s : sequences_) total += s.size();
  const double share = static_cast<double>(plan ? metric.token_weights.size() : total) /
                       static_cast<double>(metric.token_weights.size());
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const bool planned = std::binary_search(planned_.begin(), planned_.end(), i);
    if (plan && !planned) continue;
    for (size_t t = 0; t < sequences_[i].size(); ++t) {
      const double measured = planned ? share * double{metric.token_weights[next++]} : 0;
      out.push_back(static_cast<float>(std::sqrt(1 - kTokenShare + kTokenShare * measured)));
    }
  }
  return out;
}

bool ModelCalibration::of_experts(size_t stage) const {
  return config_.experts != 0 && stage % Prefix::kStages >= 2;  // not the head's
}

// Runs a stage and gives `finish` the mean moments of its metrics, those of one group in memory at a time.
void ModelCalibration::sum_moments(Prefix& prefix, size_t s, bool plan, bool crossed,
                                   const std::function<void(Metric&, MetricSum)>& finish) {
  const std::vector<size_t>& metrics = stages_[s].metrics;
  size_t begin = 0;  // of the group
  std::vector<MetricSum> sums;
  const auto open = [&] {
    sums.clear();
    for (size_t i = begin; i < metrics.size() && metrics_[metrics[i]].group == metrics_[metrics[begin]].group; ++i) {
      const Metric& metric = metrics_[metrics[i]];
      sums.emplace_back(metric.width, token_roots(metric, plan), crossed);
    }
  };
  const auto close = [&] {
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i].average();
      finish(metrics_[metrics[begin + i]], std::move(sums[i]));
    }
    begin += sums.size();
    open();
  };
  open();
  prefix.run(s, [&](const Prefix::Inputs& in) {
    while (begin < metrics.size() && metrics_[metrics[begin]].group < in.group) close();
    for (MetricSum& sum : sums) sum.add(in.tokens, std::as_const(inputs_).view(), in.rows);
  });
  while (begin < metrics.size()) close();
}

void ModelCalibration::plan_moments(Prefix& prefix) {
  for (size_t s = 0; s < stages_.size(); ++s) {
    sum_moments(prefix, s, true, false, [&](Metric& metric, MetricSum sum) {
      if (of_experts(s)) add_white(sum.tokens, sum.h.view());
      if (fisher_.embeddings.contains(metric.tensors[0])) join_embeddings(metric.tensors[0], sum.h.view());
      store(metric, std::move(sum.h), {});
    });
    if (settings_.progress) settings_.progress("calibrate", s + 1, stages_.size());
  }
}

void ModelCalibration::weigh(const std::string& tensor, std::vector<double> rows, size_t cols) {
  double mean = 0;
  for (const double w : rows) mean += w / static_cast<double>(rows.size());
  if (!(mean > 0) || !std::isfinite(mean)) return;
  if (fisher_.embeddings.contains(tensor)) {
    double sum = 0;
    for (double& w : rows) sum += w = std::pow(w / mean, kTablePower);
    for (double& w : rows) w *= mean * kTableFactor / sum * static_cast<double>(rows.size());
    mean *= kTableFactor;
  }
  // No row is free, whatever the few sequences say.
  for (double& w : rows) w = (w / mean + kLeastWeight) / (1 + kLeastWeight);
  Importance& to = importance_[tensor];
  to.rows = to.fed_rows =
      std::make_shared<RowCosts>(RowCosts{std::move(rows), mean / static_cast<double>(cols) / 2, {}});
}

// What is left of the costs where errors of rows are fed into later ones.
void ModelCalibration::feed_rows(const TensorFisher& fisher, Importance& to) const {
  const size_t n = to.rows->weights.size();
  RowFactor factor = factor_rows(fisher.correlations, n, row_damping(n, fisher_.tokens));
  RowCosts fed = *to.rows;
  double mean = 0;
  for (size_t r = 0; r < n; ++r) mean += (fed.weights[r] *= factor.weights[r]) / static_cast<double>(n);
  for (double& w : fed.weights) w /= mean;
  fed.loss *= mean;
  to.gains = ScratchMatrix(folder_, n, factor.gains.cols());
  for (size_t s = 0; s < n; ++s) {
    const size_t first = s - s % kRowBlock, last = std::min(n, first + kRowBlock);
    for (size_t r = s + 1; r < last; ++r) {
      const double scale = std::sqrt(to.rows->weights[s] / to.rows->weights[r]);
      to.gains.view()(s, r - first) = static_cast<float>(scale * double{factor.gains(s, r - first)});
    }
  }
  fed.gains = std::as_const(to.gains).view();
  to.fed_rows = std::make_shared<RowCosts>(std::move(fed));
}

// Of this model on these sequences; what one run measured is there for the next one, at another rate perhaps.
void ModelCalibration::measure_importance(std::span<const std::vector<TokenId>> sequences) {
  std::error_code ec;
  const std::filesystem::path path = std::filesystem::weakly_canonical(source_.path(), ec);
  uint64_t key = hash64(fmt::format("importance 2\n{}\n{}", path.string(), describe_files(path)));
  for (const auto& s : sequences) key = key * 31 + hash64(s.data(), s.size() * sizeof(TokenId));
  const std::string name = fmt::format("importance-{}", hash_hex(key));
  const std::optional<Bytes> cached = settings_.cache ? read_cache(name) : std::nullopt;
  std::optional<Fisher> known = cached ? unpack_fisher(*cached) : std::nullopt;
  if (!known) {
    known = measure_gradients(sequences);
    if (settings_.cache) write_cache(name, pack_fisher(*known));
  }
  fisher_ = std::move(*known);
  const std::string head = config_.encoder ? "" : stages_.back().tensors[0];
  for (const auto& [tensor, fisher] : fisher_.linear) {
    if (config_.transposed_weights && tensor != head) continue;
    std::vector<double> rows = fisher.rows;
    for (double& w : rows) w *= fisher.input_energy;
    const Shape shape = matrix_shape(source_.tensors()[source_.find(tensor)].shape);
    if (rows.size() != shape.rows) continue;
    weigh(tensor, std::move(rows), shape.cols);
    const auto importance = importance_.find(tensor);
    if (importance == importance_.end()) continue;
    if (fisher.correlations.size() == correlation_count(shape.rows)) feed_rows(fisher, importance->second);
    if (fisher.token_energy.size() == fisher_.tokens)
      metrics_[metric_of_.at(tensor)].token_weights = mean_one(fisher.token_energy);
  }
  weigh_rare_experts();
}

// Nor is an expert free that hardly any of the tokens came by.
void ModelCalibration::weigh_rare_experts() {
  for (const Stage& stage : stages_) {
    const size_t experts = stage.metrics.size();
    if (experts == 0 || metrics_[stage.metrics.back()].group == 0) continue;
    for (size_t k = 0; k < metrics_[stage.metrics[0]].tensors.size(); ++k) {
      const auto tensor = [&](size_t e) -> const std::string& { return metrics_[stage.metrics[e]].tensors[k]; };
      double mean = 0;
      for (size_t e = 0; e < experts; ++e) {
        const auto known = importance_.find(tensor(e));
        if (known != importance_.end()) mean += known->second.rows->loss / static_cast<double>(experts);
      }
      for (size_t e = 0; e < experts && mean > 0; ++e) {
        Importance& to = importance_[tensor(e)];
        RowCosts costs;
        if (to.rows) {
          costs = *to.rows;
        } else {
          costs.weights.assign(matrix_shape(source_.tensors()[source_.find(tensor(e))].shape).rows, 1.0);
        }
        costs.loss = (costs.loss + kLeastWeight * mean) / (1 + kLeastWeight);
        to.rows = to.fed_rows = std::make_shared<RowCosts>(std::move(costs));
      }
    }
  }
}

Fisher ModelCalibration::measure_gradients(std::span<const std::vector<TokenId>> sequences) const {
  GradientModel model(source_, folder_, false);
  FisherOptions options;
  options.moments = false;
  options.token_energies = by_token_;
  options.correlations = by_row_;
  std::set<std::string> seen;
  size_t total = 0;
  for (const Stage& s : stages_) total += s.tensors.size();
  options.seen = [&](const std::string& tensor) {
    if (seen.insert(tensor).second && settings_.progress)
      settings_.progress("importance", std::min(seen.size(), total), total);
  };
  return measure_fisher(model, sequences, options);
}

// What lookups have an error of each row cost. Few rows are met in a few sequences: all that lookups cost is shared out
// by how often a token is in the whole text, half of it, and by how likely the model thinks it.
std::vector<double> ModelCalibration::lookups(const std::string& tensor) const {
  const std::vector<double>& measured = fisher_.embeddings.at(tensor).rows;
  const size_t rows = matrix_shape(source_.tensors()[source_.find(tensor)].shape).rows;
  std::vector<double> cost(rows);
  if (rows != config_.vocab_size) {  // positions
    std::copy_n(measured.begin(), std::min(rows, measured.size()), cost.begin());
    return cost;
  }
  double total = 0, tokens = 0, expected = 0, once = 0;
  for (const double g : measured) total += g;
  for (size_t v = 0; v < rows; ++v) {
    cost[v] = v < settings_.token_counts.size() ? static_cast<double>(settings_.token_counts[v]) : 0;
    tokens += cost[v];
    once += cost[v] == 1 ? 1 : 0;
  }
  if (!(tokens > 0)) return std::vector<double>(rows, total / static_cast<double>(rows));
  // What other texts have and this one has not: as much as it has once (Good 1953), shared out evenly.
  const double unseen = once / tokens;
  for (double& c : cost) c = (1 - unseen) * c + unseen * tokens / static_cast<double>(rows);
  std::vector<double> likely(rows, 1.0);  // encoders predict none
  if (!config_.encoder) likely = fisher_.linear.at(stages_.back().tensors[0]).rows;
  for (const double p : likely) expected += p;
  const double counted = config_.encoder ? 0.9 : 0.5;
  for (size_t v = 0; v < rows; ++v) {
    cost[v] = total * (counted * cost[v] / tokens + (1 - counted) * likely[v] / expected);
  }
  return cost;
}

// Tables that are no linear layers.
void ModelCalibration::weigh_tables() {
  for (const auto& [tensor, fisher] : fisher_.embeddings) {
    tables_.push_back(tensor);
    if (metric_of_.contains(tensor)) continue;
    const Shape shape = matrix_shape(source_.tensors()[source_.find(tensor)].shape);
    weigh(tensor, lookups(tensor), shape.cols);
  }
}

// One table that tokens are looked up in and that gives the logits: errors of row v cost head.rows[v] e H e^T and
// lookups()[v] |e|^2 / cols, and their sum is coded with one matrix.
void ModelCalibration::join_embeddings(const std::string& tensor, MatrixView<double> h) {
  const TensorFisher& head = fisher_.linear.at(tensor);
  const size_t n = h.rows();
  const double energy = mean_diagonal(h) * static_cast<double>(n);
  std::vector<double> weights = lookups(tensor);
  double of_head = 0, of_lookups = 0;
  for (size_t v = 0; v < weights.size(); ++v) {
    of_lookups += weights[v];
    of_head += head.rows[v] * energy;
    weights[v] += head.rows[v] * energy;
  }
  const double total = of_head + of_lookups;
  // Lookups see all columns alike.
  for (size_t r = 0; r < n && total > 0; ++r) {
    for (size_t c = 0; c < n; ++c) h(r, c) *= of_head / total;
    h(r, r) += of_lookups / total * energy / static_cast<double>(n);
  }
  weigh(tensor, std::move(weights), n);
}

void ModelCalibration::store(Metric& metric, Matrix<double> h, Matrix<float> correction) {
  const std::lock_guard lock(*metric.mutex);
  const double mean = mean_diagonal(h.view());
  // Kept as floats: relative to a power of two near the mean.
  const double scale = mean > 0 && std::isfinite(mean) ? std::exp2(std::floor(std::log2(mean))) : 1;
  if (metric.h.rows() != h.rows()) metric.h = ScratchMatrix(folder_, h.rows(), h.cols());
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < h.cols(); ++c) metric.h.view()(r, c) = static_cast<float>(h(r, c) / scale);
  }
  if (correction.size() != 0) {
    metric.correction = ScratchMatrix(folder_, h.rows(), h.cols());
    std::copy_n(correction.data(), correction.size(), metric.correction.view().data());
  }
  metric.moments.reset();
  metric.profile.clear();
}

std::shared_ptr<const TensorCalibration> ModelCalibration::find(const std::string& tensor) const {
  const auto at = metric_of_.find(tensor);
  const auto importance = importance_.find(tensor);
  if (at == metric_of_.end() && importance == importance_.end()) return nullptr;
  auto out = std::make_shared<TensorCalibration>();
  if (importance != importance_.end()) {
    out->rows = importance->second.rows;
    out->fed_rows = importance->second.fed_rows;
  }
  if (at == metric_of_.end()) return out;
  const Metric& metric = metrics_[at->second];
  const std::lock_guard lock(*metric.mutex);
  const size_t n = metric.width;
  out->note = metric.note;
  if (metric.correction.rows() != 0) {
    auto correction = std::make_shared<Matrix<float>>(Matrix<float>::uninitialized(n, n));
    std::copy_n(metric.correction.view().data(), n * n, correction->data());
    out->correction = std::move(correction);
  }
  out->moments = metric.moments.lock();
  if (out->moments) return out;
  auto moments = std::make_shared<Moments>();
  moments->h = Matrix<double>::uninitialized(n, n);
  std::copy_n(metric.h.view().data(), n * n, moments->h.data());
  if (metric.profile.empty()) {
    Matrix<double> work = moments->h.clone();
    std::vector<double> values(n);
    eigenvalues(work.view(), values);
    metric.profile = eigenvalue_profile(values);
  }
  moments->profile = metric.profile;
  out->moments = moments;
  metric.moments = moments;
  return out;
}

void ModelCalibration::reach(const std::string& tensor, const TensorFile& coded) {
  const auto at = metric_of_.find(tensor);
  if (at == metric_of_.end()) return;
  const size_t stage = metrics_[at->second].stage;
  if (config_.tied_embeddings && stage + 1 == stages_.size()) return;
  if (!after_) {
    after_.emplace(coded, config_, sequences_, folder_);
    before_.emplace(source_, config_, sequences_, folder_);
    size_t widest = 0;
    for (const Metric& m : metrics_) widest = std::max(widest, m.width);
    inputs_ = ScratchMatrix(folder_, after_->tokens(), widest);
  }
  while (next_ <= stage) run_stage(next_++);
}

std::vector<std::string> ModelCalibration::order() const {
  std::vector<std::string> out = tables_;
  for (const Stage& s : stages_) out.insert(out.end(), s.tensors.begin(), s.tensors.end());
  return out;
}

TunedValues ModelCalibration::tune(const TensorFile& coded, const std::set<std::string>& scaled,
                                   std::vector<std::string>* notes) {
  notes->insert(notes->end(), notes_.begin(), notes_.end());
  if (rare_ != 0) {
    notes->push_back(
        fmt::format("{} times an expert saw fewer tokens than it has inputs and was coded nearly as if "
                    "those were white (see the tensors)",
                    rare_));
  }
  if (settings_.tune_sequences.size() < 2 || config_.encoder) return {};
  before_.reset();
  after_.reset();
  inputs_ = ScratchMatrix();  // tuning has the whole model in memory
  size_t tokens = 0;
  for (const std::vector<TokenId>& s : settings_.tune_sequences) tokens += s.size();
  TuneOptions options;
  options.rate = 0.006;  // what calibration left over is less than what the default is for
  options.progress = [&](size_t step, size_t steps, double) {
    if (settings_.progress) settings_.progress("tune", step, steps);
  };
  if (!config_.transposed_weights) options.scaled = scaled;  // else rows are inputs
  TuneResult result = tune_model(coded, source_, settings_.tune_sequences, folder_, options);
  notes->push_back(fmt::format("{} tuned on {} tokens: KL {:.4g}, {:.4g} before, on sequences held out{}",
                               options.scaled.empty() ? "norms and biases" : "norms, biases and scales of rows", tokens,
                               result.kl_after, result.kl_before, result.values.vectors.empty() ? "; not kept" : ""));
  return std::move(result.values);
}

void ModelCalibration::run_stage(size_t s) {
  // What comes out of gate and up of an expert is known of the tokens that the model as it was gave to it, not of those
  // that it gets now.
  const bool crossed = !of_experts(s) || s % Prefix::kStages != 3;
  before_->run(s, [&](const Prefix::Inputs& in) {
    for (size_t r = 0; r < in.rows.rows() && crossed; ++r) {
      std::copy_n(in.rows.row(r), in.rows.cols(), inputs_.view().row(in.tokens[r]));
    }
  });
  sum_moments(*after_, s, false, crossed, [&](Metric& metric, MetricSum sum) {
    Matrix<float> correction;
    if (crossed && sum.tokens != 0) {
      // What counts for half is measured at the tokens planned with.
      const size_t tokens = metric.token_weights.empty() ? sum.tokens : metric.token_weights.size();
      correction = correction_of(sum.cross.view(), sum.h.view(), tokens);
      if (correction.size() == 0) {
        notes_.push_back(
            fmt::format("{}: the second moments of its inputs cannot be inverted, what was lost before is "
                        "not corrected",
                        fmt::join(metric.tensors, ", ")));
      }
    }
    if (of_experts(s)) {
      add_white(sum.tokens, sum.h.view());
      if (sum.tokens < metric.width) {
        ++rare_;
        metric.note = fmt::format(
            "{} tokens of the calibration text came by, fewer than inputs: coded nearly as if "
            "those were white",
            sum.tokens);
      }
    }
    store(metric, std::move(sum.h), std::move(correction));
  });
  inputs_.release();
}

}  // namespace occ
