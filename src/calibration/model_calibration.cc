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
#include "calibration/moment_sum.h"
#include "calibration/tune.h"
#include "linalg/linalg.h"
#include "metrics/limits.h"

namespace occ {
namespace {

constexpr double kLeastWeight = 0.01;  // of a row, beside the mean of all
// Tables that rows are looked up in. Texts differ most in how often words occur in them: weights of rows are taken to
// this power, their mean stays. And layers after the table make up for their own errors, not for those of the table:
// coded alone it cost twice the KL that its share of the second-order loss says. Both by measurement,
// docs/calibration.md.
constexpr double kTablePower = 0.65, kTableFactor = 1.5;

// Of the moments in a correction, in units of their mean. Measured on 4,096 tokens (0.3 to 1 are best at 64 to 172
// inputs) and on 65,536 (0.05 to 0.3).
double correction_damping(size_t inputs, size_t tokens) {
  return 0.1 + 20 * static_cast<double>(inputs) / static_cast<double>(tokens);
}

double mean_diagonal(MatrixView<const double> h) {
  double sum = 0;
  for (size_t i = 0; i < h.rows(); ++i) sum += h(i, i);
  return sum / static_cast<double>(h.rows());
}

// (C - H) (H + damping mean I)^-1 with C = E[x z^T], H = E[z z^T], x the inputs that there were and z those that there
// are: W x = (W + W K) z as nearly as a linear map can. Empty if that cannot be solved.
Matrix<float> correction_of(Matrix<double> c, MatrixView<const double> h, double damping) {
  const size_t n = h.rows();
  const double added = damping * mean_diagonal(h);
  Matrix<double> l = Matrix<double>::uninitialized(n, n), right = Matrix<double>::uninitialized(n, n);
  for (size_t r = 0; r < n; ++r) {
    std::copy_n(h.row(r), n, l.row(r));
    l(r, r) += added;
    for (size_t k = 0; k < n; ++k) right(k, r) = c(r, k) - h(r, k);
  }
  if (!(added > 0) || !cholesky(l.view())) return {};
  constexpr size_t kColumns = 128;
  parallel_for(ceil_div(n, kColumns), [&](size_t i) {
    const size_t col = i * kColumns, cols = std::min(kColumns, n - col);
    solve_lower(Op::kNone, l.view(), right.view().sub({0, col, n, cols}));
    solve_lower(Op::kTranspose, l.view(), right.view().sub({0, col, n, cols}));
  });
  Matrix<float> k = Matrix<float>::uninitialized(n, n);
  for (size_t r = 0; r < n; ++r) {
    for (size_t j = 0; j < n; ++j) k(r, j) = static_cast<float>(right(j, r));
  }
  return k;
}

}  // namespace

// What the linear layers of a stage share. Moments lie in scratch files until they are asked for.
struct ModelCalibration::Stage {
  size_t width = 0;
  std::vector<std::string> tensors;
  ScratchMatrix h, correction;
  mutable std::mutex mutex;
  mutable std::weak_ptr<const Moments> moments;  // in use
  mutable std::vector<uint8_t> profile;

  Stage() = default;
  Stage(Stage&& o) noexcept : width(o.width), tensors(std::move(o.tensors)) {}
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
  for (size_t i = 0; i < count; ++i) some.push_back(sequences_[i * sequences_.size() / count]);
  Prefix prefix(source_, config_, some, folder_);
  name_stages(prefix);
  measure_importance(some);
  plan_moments(prefix);
  weigh_tables();
}

void ModelCalibration::name_stages(Prefix& prefix) {
  stages_.resize(prefix.stages());
  for (size_t s = 0; s < stages_.size(); ++s) {
    stages_[s].tensors = prefix.tensors(s);
    const bool head = s + 1 == stages_.size() && !config_.encoder;
    // Where W^T is stored, columns are outputs, and the moments of the inputs are of no use.
    if (config_.transposed_weights && !head) continue;
    for (const std::string& name : stages_[s].tensors) stage_of_.emplace(name, s);
  }
}

void ModelCalibration::plan_moments(Prefix& prefix) {
  for (size_t s = 0; s < stages_.size(); ++s) {
    Matrix<double> h;
    prefix.run(s, [&](size_t, MatrixView<const float> x) {
      if (h.size() == 0) h = Matrix<double>(x.cols(), x.cols());
      add_moment(x, x, h.view());
    });
    finish_moment(1 / static_cast<double>(prefix.tokens()), true, h.view());
    const std::string& tensor = stages_[s].tensors[0];
    if (fisher_.embeddings.contains(tensor)) join_embeddings(tensor, h.view());
    store(s, std::move(h), {});
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
  importance_[tensor] = {std::move(rows), mean / static_cast<double>(cols) / 2};
}

// Of this model on these sequences; what one run measured is there for the next one, at another rate perhaps.
void ModelCalibration::measure_importance(std::span<const std::vector<TokenId>> sequences) {
  std::error_code ec;
  const std::filesystem::path path = std::filesystem::weakly_canonical(source_.path(), ec);
  uint64_t key = hash64(fmt::format("importance 1\n{}\n{}", path.string(), describe_files(path)));
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
    if (rows.size() == shape.rows) weigh(tensor, std::move(rows), shape.cols);
  }
}

Fisher ModelCalibration::measure_gradients(std::span<const std::vector<TokenId>> sequences) const {
  GradientModel model(source_, folder_, false);
  FisherOptions options;
  options.moments = false;
  std::set<std::string> seen;
  size_t total = 0;
  for (const Stage& s : stages_) total += s.tensors.size();
  options.seen = [&](const std::string& tensor) {
    if (seen.insert(tensor).second && settings_.progress) settings_.progress("importance", seen.size(), total);
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
    if (stage_of_.contains(tensor)) continue;
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

void ModelCalibration::store(size_t s, Matrix<double> h, Matrix<float> correction) {
  Stage& stage = stages_[s];
  const std::lock_guard lock(stage.mutex);
  stage.width = h.rows();
  const double mean = mean_diagonal(h.view());
  // Kept as floats: relative to a power of two near the mean.
  const double scale = mean > 0 && std::isfinite(mean) ? std::exp2(std::floor(std::log2(mean))) : 1;
  if (stage.h.rows() != h.rows()) stage.h = ScratchMatrix(folder_, h.rows(), h.cols());
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < h.cols(); ++c) stage.h.view()(r, c) = static_cast<float>(h(r, c) / scale);
  }
  if (correction.size() != 0) {
    stage.correction = ScratchMatrix(folder_, h.rows(), h.cols());
    std::copy_n(correction.data(), correction.size(), stage.correction.view().data());
  }
  stage.moments.reset();
  stage.profile.clear();
}

std::shared_ptr<const TensorCalibration> ModelCalibration::find(const std::string& tensor) const {
  const auto at = stage_of_.find(tensor);
  const auto importance = importance_.find(tensor);
  if (at == stage_of_.end() && importance == importance_.end()) return nullptr;
  auto out = std::make_shared<TensorCalibration>();
  if (importance != importance_.end()) {
    out->row_weights = importance->second.row_weights;
    out->loss = importance->second.loss;
  }
  if (at == stage_of_.end()) return out;
  const Stage& stage = stages_[at->second];
  const std::lock_guard lock(stage.mutex);
  const size_t n = stage.width;
  if (stage.correction.rows() != 0) {
    auto correction = std::make_shared<Matrix<float>>(Matrix<float>::uninitialized(n, n));
    std::copy_n(stage.correction.view().data(), n * n, correction->data());
    out->correction = std::move(correction);
  }
  out->moments = stage.moments.lock();
  if (out->moments) return out;
  auto moments = std::make_shared<Moments>();
  moments->h = Matrix<double>::uninitialized(n, n);
  std::copy_n(stage.h.view().data(), n * n, moments->h.data());
  if (stage.profile.empty()) {
    Matrix<double> work = moments->h.clone();
    std::vector<double> values(n);
    eigenvalues(work.view(), values);
    stage.profile = eigenvalue_profile(values);
  }
  moments->profile = stage.profile;
  out->moments = moments;
  stage.moments = moments;
  return out;
}

void ModelCalibration::reach(const std::string& tensor, const TensorFile& coded) {
  const auto at = stage_of_.find(tensor);
  if (at == stage_of_.end() || (config_.tied_embeddings && at->second + 1 == stages_.size())) return;
  if (!after_) {
    after_.emplace(coded, config_, sequences_, folder_);
    before_.emplace(source_, config_, sequences_, folder_);
    size_t widest = 0;
    for (const Stage& s : stages_) widest = std::max(widest, s.width);
    inputs_ = ScratchMatrix(folder_, after_->tokens(), widest);
  }
  while (next_ <= at->second) run_stage(next_++);
}

std::vector<std::string> ModelCalibration::order() const {
  std::vector<std::string> out = tables_;
  for (const Stage& s : stages_) out.insert(out.end(), s.tensors.begin(), s.tensors.end());
  return out;
}

std::map<std::string, std::vector<float>> ModelCalibration::tune(const TensorFile& coded,
                                                                 std::vector<std::string>* notes) {
  notes->insert(notes->end(), notes_.begin(), notes_.end());
  if (settings_.tune_sequences.size() < 2 || config_.encoder) return {};
  size_t tokens = 0;
  for (const std::vector<TokenId>& s : settings_.tune_sequences) tokens += s.size();
  TuneOptions options;
  options.rate = 0.006;  // what calibration left over is less than what the default is for
  options.progress = [&](size_t step, size_t steps, double) {
    if (settings_.progress) settings_.progress("tune", step, steps);
  };
  TuneResult result = tune_vectors(coded, source_, settings_.tune_sequences, folder_, options);
  notes->push_back(fmt::format("norms and biases tuned on {} tokens: KL {:.4g}, {:.4g} before, on sequences held out{}",
                               tokens, result.kl_after, result.kl_before, result.vectors.empty() ? "; not kept" : ""));
  return std::move(result.vectors);
}

void ModelCalibration::run_stage(size_t s) {
  const size_t n = stages_[s].width;
  Matrix<double> h(n, n), cross(n, n);
  before_->run(s, [&](size_t first, MatrixView<const float> x) {
    for (size_t r = 0; r < x.rows(); ++r) std::copy_n(x.row(r), n, inputs_.view().row(first + r));
  });
  after_->run(s, [&](size_t first, MatrixView<const float> z) {
    add_moment(z, z, h.view());
    add_moment(inputs_.view().sub({first, 0, z.rows(), n}), z, cross.view());
  });
  const double share = 1 / static_cast<double>(after_->tokens());
  finish_moment(share, true, h.view());
  finish_moment(share, false, cross.view());
  Matrix<float> correction = correction_of(std::move(cross), h.view(), correction_damping(n, after_->tokens()));
  if (correction.size() == 0) {
    notes_.push_back(fmt::format("{}: its inputs are all 0, what was lost before is not corrected",
                                 fmt::join(stages_[s].tensors, ", ")));
  }
  store(s, std::move(h), std::move(correction));
}

}  // namespace occ
