#include "calibration/model_calibration.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "calibration/tune.h"
#include "linalg/linalg.h"
#include "metrics/limits.h"

namespace occ {
namespace {

constexpr size_t kTile = 192;
constexpr double kLeastWeight = 0.01;  // of a row, beside the mean of all

// Of the moments in a correction, in units of their mean. Measured on 4,096 tokens (0.3 to 1 are best at 64 to 172
// inputs) and on 65,536 (0.05 to 0.3).
double correction_damping(size_t inputs, size_t tokens) {
  return 0.1 + 20 * static_cast<double>(inputs) / static_cast<double>(tokens);
}

// sum += x^T y for x, y [tokens, n]: products in f32 over one panel, sums of panels in f64. With x = y the lower
// triangle only, by tiles.
class MomentSum {
 public:
  explicit MomentSum(size_t n) : sum_(n, n) {}
  void add(MatrixView<const float> x, MatrixView<const float> y) {
    const size_t n = sum_.rows(), tiles = ceil_div(n, kTile);
    const bool symmetric = x.data() == y.data();
    parallel_for(tiles * tiles, [&](size_t t) {
      const size_t i = t / tiles * kTile, j = t % tiles * kTile;
      if (symmetric && i < j) return;
      const size_t rows = std::min(kTile, n - i), cols = std::min(kTile, n - j);
      Matrix<float> part = Matrix<float>::uninitialized(rows, cols);
      gemm(Op::kTranspose, Op::kNone, 1.0f, x.sub({0, i, x.rows(), rows}), y.sub({0, j, y.rows(), cols}), 0.0f,
           part.view());
      for (size_t r = 0; r < rows; ++r) {
        for (size_t c = 0; c < cols; ++c) sum_(i + r, j + c) += static_cast<double>(part(r, c));
      }
    });
  }
  // Means over `tokens`.
  Matrix<double> take(size_t tokens, bool symmetric) {
    const double share = 1 / static_cast<double>(std::max<size_t>(1, tokens));
    for (size_t i = 0; i < sum_.size(); ++i) sum_.data()[i] *= share;
    for (size_t r = 0; symmetric && r < sum_.rows(); ++r) {
      for (size_t c = r + 1; c < sum_.cols(); ++c) sum_(r, c) = sum_(c, r);
    }
    return std::move(sum_);
  }

 private:
  Matrix<double> sum_;
};

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
  double scale = 1;  // of h
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
  measure_importance(some);
  plan_moments(some);
  weigh_tables();
}

void ModelCalibration::plan_moments(std::span<const std::vector<TokenId>> sequences) {
  Prefix prefix(source_, config_, sequences, folder_);
  stages_.resize(prefix.stages());
  for (size_t s = 0; s < stages_.size(); ++s) {
    stages_[s].tensors = prefix.tensors(s);
    const bool head = s + 1 == stages_.size() && !config_.encoder;
    // Where W^T is stored, columns are outputs, and the moments of the inputs are of no use.
    if (config_.transposed_weights && !head) continue;
    for (const std::string& name : stages_[s].tensors) stage_of_.emplace(name, s);
  }
  for (size_t s = 0; s < stages_.size(); ++s) {
    std::optional<MomentSum> sum;
    prefix.run(s, [&](size_t, MatrixView<const float> x) {
      if (!sum) sum.emplace(x.cols());
      sum->add(x, x);
    });
    Matrix<double> h = sum->take(prefix.tokens(), true);
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
  // No row is free, whatever the few sequences say.
  for (double& w : rows) w = (w / mean + kLeastWeight) / (1 + kLeastWeight);
  importance_[tensor] = {std::move(rows), mean / static_cast<double>(cols) / 2};
}

void ModelCalibration::measure_importance(std::span<const std::vector<TokenId>> sequences) {
  GradientModel model(source_, folder_, false);
  fisher_ = measure_fisher(model, sequences, {.moments = false});
  for (const auto& [tensor, fisher] : fisher_.linear) {
    if (config_.transposed_weights && tensor != model.head_tensor()) continue;
    std::vector<double> rows = fisher.rows;
    for (double& w : rows) w *= fisher.input_energy;
    const Shape shape = matrix_shape(source_.tensors()[source_.find(tensor)].shape);
    if (rows.size() == shape.rows) weigh(tensor, std::move(rows), shape.cols);
  }
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
  for (const auto& [name, fisher] : fisher_.linear) {
    const auto stage = stage_of_.find(name);
    if (fisher.rows.size() == rows && stage != stage_of_.end() && stage->second + 1 == stages_.size()) {
      likely = fisher.rows;
    }
  }
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
  stage.scale = mean > 0 && std::isfinite(mean) ? std::exp2(std::floor(std::log2(mean))) : 1;
  if (stage.h.rows() != h.rows()) stage.h = ScratchMatrix(folder_, h.rows(), h.cols());
  for (size_t r = 0; r < h.rows(); ++r) {
    for (size_t c = 0; c < h.cols(); ++c) stage.h.view()(r, c) = static_cast<float>(h(r, c) / stage.scale);
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
    if (settings_.correct) {
      before_.emplace(source_, config_, sequences_, folder_);
      size_t widest = 0;
      for (const Stage& s : stages_) widest = std::max(widest, s.width);
      inputs_ = ScratchMatrix(folder_, after_->tokens(), widest);
    }
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
  MomentSum moments(n), cross(settings_.correct ? n : 0);
  if (before_) {
    before_->run(s, [&](size_t first, MatrixView<const float> x) {
      for (size_t r = 0; r < x.rows(); ++r) std::copy_n(x.row(r), n, inputs_.view().row(first + r));
    });
  }
  after_->run(s, [&](size_t first, MatrixView<const float> z) {
    moments.add(z, z);
    if (before_) cross.add(inputs_.view().sub({first, 0, z.rows(), n}), z);
  });
  Matrix<double> h = moments.take(after_->tokens(), true);
  Matrix<float> correction;
  // Embeddings are looked up exactly: the first inputs differ by the errors of the embedding alone.
  if (before_)
    correction = correction_of(cross.take(after_->tokens(), false), h.view(), correction_damping(n, after_->tokens()));
  store(s, std::move(h), std::move(correction));
}

}  // namespace occ
