#include "calibration/tune.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "calibration/batches.h"
#include "calibration/dense_layer.h"
#include "calibration/gradients.h"
#include "calibration/reference.h"

namespace occ {
namespace {

// Tuned values and the state of Adam for them.
struct Tuned {
  std::vector<float> values, start;
  double size = 1;  // size of a step at a rate of 1
  std::vector<double> mean, square;
};

void apply(const TunedValues& values, GradientModel& model) {
  for (const auto& [tensor, v] : values.vectors) model.set_vector(tensor, v);
  for (const auto& [tensor, factors] : values.row_factors) model.set_row_factors(tensor, factors);
}

class Adam final : public GradientObserver {
 public:
  Adam(const TensorFile& file, const TuneOptions& options, const std::string& head)
      : file_(file), options_(options), head_(head) {}
  void linear(const LinearGradients& g) override {
    const MatrixView<const float> dy = g.gradients;
    if (!options_.scaled.contains(g.tensor) || g.tensor == head_) return;
    // Derivative of the loss with respect to the logarithm of the factor of row r: sum_t dy_tr y_tr.
    if (outputs_.size() < dy.size()) outputs_ = Matrix<float>::uninitialized(1, dy.size());
    const MatrixView<float> y(outputs_.data(), dy.rows(), dy.cols());
    product(g.inputs, Op::kTranspose, g.weights, y);
    std::vector<double>& sums = row_gradients_[g.tensor];
    sums.resize(dy.cols());
    constexpr size_t kCols = 64;
    parallel_for(ceil_div(dy.cols(), kCols), [&](size_t i) {
      const size_t end = std::min(dy.cols(), (i + 1) * kCols);
      for (size_t t = 0; t < dy.rows(); ++t) {
        for (size_t c = i * kCols; c < end; ++c) sums[c] += double{dy(t, c)} * double{y(t, c)};
      }
    });
  }
  void embedding(const std::string&, std::span<const uint32_t>, MatrixView<const float>) override {}
  void vector(const std::string& tensor, std::span<const float> gradient) override {
    if (options_.fixed.contains(tensor)) return;
    Tuned& t = vectors_[tensor];
    if (t.start.empty()) {
      t.start.resize(gradient.size());
      file_.read_f32(file_.find(tensor), 0, t.start.size(), t.start.data());
      double sum = 0;
      for (const float v : t.start) sum += static_cast<double>(v) * static_cast<double>(v);
      t.size = std::sqrt(sum / static_cast<double>(t.start.size()));
    }
    take(std::vector<double>(gradient.begin(), gradient.end()), &t);
  }
  // Makes one step with the gradients since the last step. `left` is the factor of the learning rate, which falls from
  // 1 to 0.
  void step(double left, GradientModel& model) {
    ++steps_;
    for (auto& [tensor, gradient] : row_gradients_) {
      Tuned& t = rows_[tensor];
      if (t.start.empty()) t.start.resize(gradient.size());
      take(gradient, &t);
      std::fill(gradient.begin(), gradient.end(), 0.0);
    }
    for (std::map<std::string, Tuned>* all : {&vectors_, &rows_}) {
      for (auto& [tensor, t] : *all) move(left * options_.rate, &t);
    }
    apply(values(1), model);
  }
  // Returns the values at a share of the way from the original to the current values.
  TunedValues values(float share) const {
    TunedValues out;
    for (const auto& [tensor, t] : vectors_) out.vectors[tensor] = on_the_way(t, share);
    for (const auto& [tensor, t] : rows_) {
      std::vector<float>& factors = out.row_factors[tensor] = on_the_way(t, share);
      for (float& f : factors) f = std::exp(f);
    }
    return out;
  }

 private:
  static constexpr double kMean = 0.9, kSquare = 0.98;

  static void take(const std::vector<double>& gradient, Tuned* t) {
    if (t->values.empty()) {
      t->values = t->start;
      t->mean.resize(gradient.size());
      t->square.resize(gradient.size());
    }
    for (size_t i = 0; i < gradient.size(); ++i) {
      t->mean[i] = kMean * t->mean[i] + (1 - kMean) * gradient[i];
      t->square[i] = kSquare * t->square[i] + (1 - kSquare) * gradient[i] * gradient[i];
    }
  }
  void move(double rate, Tuned* t) const {
    const double mean_scale = 1 / (1 - std::pow(kMean, steps_)), square_scale = 1 / (1 - std::pow(kSquare, steps_));
    for (size_t i = 0; i < t->values.size(); ++i) {
      const double deviation = std::sqrt(square_scale * t->square[i]);
      if (deviation != 0) t->values[i] -= static_cast<float>(rate * t->size * mean_scale * t->mean[i] / deviation);
    }
  }
  static std::vector<float> on_the_way(const Tuned& t, float share) {
    std::vector<float> out = t.values;
    for (size_t i = 0; i < out.size(); ++i) out[i] = t.start[i] + share * (t.values[i] - t.start[i]);
    return out;
  }

  const TensorFile& file_;
  const TuneOptions& options_;
  const std::string& head_;  // not scaled: it has as many rows as there are tokens, most of them rare
  std::map<std::string, Tuned> vectors_, rows_;
  std::map<std::string, std::vector<double>> row_gradients_;  // summed since the last step
  Matrix<float> outputs_;
  double steps_ = 0;
};

}  // namespace

TuneResult tune_model(const TensorFile& compressed, const TensorFile& reference,
                      std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& scratch_folder,
                      const TuneOptions& options) {
  const auto [used, held_out] = split_sequences(sequences, options.held_out);
  if (held_out.empty()) throw_usage("tuning: expected at least 2 sequences, found {}", used.size());

  GradientModel model(compressed, scratch_folder, options.keep_weights);
  GradientModel teacher_model(reference, scratch_folder, false);
  for (const GradientModel* m : {&model, &teacher_model}) {
    if (!m->config().encoder) continue;
    throw_usage("tuning: expected causal language models, found the encoder '{}'", m->config().architecture);
  }
  if (model.config().vocab_size != teacher_model.config().vocab_size) {
    throw_usage("{}: expected a reference with the same vocabulary of {} tokens, found {}", reference.path(),
                model.config().vocab_size, teacher_model.config().vocab_size);
  }
  ReferencePredictions teacher(teacher_model, used, scratch_folder), judge(teacher_model, held_out, scratch_folder);

  TuneResult out;
  out.kl_before = out.kl_after = judge.mean_kl(model);
  const std::vector<Batch> batches = batches_of(used, options.batch_tokens);
  const size_t steps = options.epochs * batches.size();
  Adam adam(compressed, options, model.head_tensor());
  for (size_t epoch = 0; epoch < options.epochs; ++epoch) {
    for (const Batch& batch : batches) {
      const double sum = model.run(
          std::span(used).subspan(batch.begin, batch.end - batch.begin),
          [&](size_t first, MatrixView<float> logits) { return teacher.loss(batch.row + first, logits); }, adam);
      const double left = static_cast<double>(steps - out.steps) / static_cast<double>(steps);
      adam.step(left, model);
      ++out.steps;
      if (options.progress) options.progress(out.steps, steps, sum / static_cast<double>(batch.tokens));
    }
    for (const float share : {0.25f, 0.5f, 1.0f}) {
      TunedValues values = adam.values(share);
      apply(values, model);
      const double kl = judge.mean_kl(model);
      if (!(kl < out.kl_after)) continue;
      out.kl_after = kl;
      out.values = std::move(values);
    }
  }
  return out;
}

}  // namespace occ
