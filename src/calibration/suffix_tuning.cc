#include "calibration/suffix_tuning.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/interrupt.h"
#include "base/parallel.h"
#include "calibration/batches.h"
#include "calibration/gradients.h"
#include "calibration/layer_part.h"
#include "calibration/reference.h"
#include "compress/coded_view.h"
#include "linalg/linalg.h"
#include "tensor/scratch_matrix.h"

namespace occ {
namespace {

constexpr uint64_t kMostWeights = 160'000'000;  // limit for the weights of all layers, which take 16 bytes each
constexpr size_t kTaskRows = 64;                // number of rows in a task

// The Adam optimizer for the weights of linear layers.
class WeightAdam final : public GradientObserver {
 public:
  // Changes the weights of `tensors` in the model in place. `backup` [1, at least their number] receives the original
  // values.
  WeightAdam(GradientModel& model, const std::vector<std::string>& tensors, MatrixView<float> backup) {
    float* start = backup.data();
    for (const std::string& tensor : tensors) {
      const MatrixView<float> w = model.weight(tensor);
      Tuned t{w, start, 0, Matrix<float>(w.rows(), w.cols()), Matrix<float>(w.rows(), w.cols())};
      double squares = 0;
      for (size_t r = 0; r < w.rows(); ++r) {
        std::copy_n(w.row(r), w.cols(), start + r * w.cols());
        for (size_t c = 0; c < w.cols(); ++c) squares += double{w(r, c)} * double{w(r, c)};
      }
      t.size = std::sqrt(squares / static_cast<double>(w.size()));
      start += w.size();
      tuned_.emplace(tensor, std::move(t));
    }
  }

  // If a batch has several panels, each of them counts as one gradient.
  void linear(const LinearGradients& g) override {
    const auto found = tuned_.find(g.tensor);
    if (found == tuned_.end()) return;
    Tuned& t = found->second;
    const size_t cols = t.weights.cols();
    parallel_for(ceil_div(t.weights.rows(), kTaskRows), [&](size_t i) {
      const size_t row = i * kTaskRows, rows = std::min(kTaskRows, t.weights.rows() - row);
      Matrix<float> gradient = Matrix<float>::uninitialized(rows, cols);
      gemm(Op::kTranspose, Op::kNone, 1.0f, g.gradients.sub({0, row, g.gradients.rows(), rows}), g.inputs, 0.0f,
           gradient.view());
      float *mean = t.mean.row(row), *square = t.square.row(row);
      for (size_t k = 0; k < gradient.size(); ++k) {
        const float d = gradient.data()[k];
        mean[k] = kMean * mean[k] + (1 - kMean) * d;
        square[k] = kSquare * square[k] + (1 - kSquare) * d * d;
      }
    });
  }
  void embedding(const std::string&, std::span<const uint32_t>, MatrixView<const float>) override {}
  void vector(const std::string&, std::span<const float>) override {}

  void step(double rate) {
    ++steps_;
    const double mean_scale = 1 / (1 - std::pow(double{kMean}, steps_));
    const auto square_scale = static_cast<float>(1 / (1 - std::pow(double{kSquare}, steps_)));
    for_rows([&](Tuned& t, size_t row, size_t k, float* w) {
      const auto factor = static_cast<float>(rate * t.size * mean_scale);
      const float *mean = t.mean.row(row), *square = t.square.row(row);
      for (size_t c = 0; c < k; ++c) w[c] -= factor * mean[c] / (std::sqrt(square_scale * square[c]) + kLeast);
    });
  }
  // To be called after the last step: go_half() moves the weights to the middle between their original and their final
  // values, go_on() then sets the final values, and go_back() the original ones.
  void go_half() {
    for_rows([](Tuned& t, size_t row, size_t k, float* w) {
      const float* start = t.start + row * k;
      std::copy_n(w, k, t.mean.row(row));  // saves the final values; the optimizer no longer needs `mean`
      for (size_t c = 0; c < k; ++c) w[c] = start[c] + 0.5f * (w[c] - start[c]);
    });
  }
  void go_on() {
    for_rows([](Tuned& t, size_t row, size_t k, float* w) { std::copy_n(t.mean.row(row), k, w); });
  }
  void go_back() {
    for_rows([](Tuned& t, size_t row, size_t k, float* w) { std::copy_n(t.start + row * k, k, w); });
  }

 private:
  static constexpr float kMean = 0.9f, kSquare = 0.98f;
  static constexpr float kLeast = 1e-30f;  // avoids 0 / 0 where all gradients are zero

  struct Tuned {
    MatrixView<float> weights;
    float* start;
    double size;  // size of a step at a rate of 1: root mean square of the weights
    Matrix<float> mean, square;
  };
  // Calls body(tensor, row, columns, weights of the row) for all rows of all tensors, in parallel.
  template <typename Body>
  void for_rows(const Body& body) {
    for (auto& entry : tuned_) {
      Tuned& t = entry.second;
      parallel_for(ceil_div(t.weights.rows(), kTaskRows), [&](size_t i) {
        for (size_t row = i * kTaskRows; row < std::min(t.weights.rows(), (i + 1) * kTaskRows); ++row) {
          body(t, row, t.weights.cols(), t.weights.row(row));
        }
      });
    }
  }

  std::map<std::string, Tuned> tuned_;
  double steps_ = 0;
};

}  // namespace

struct SuffixTuning::Impl {
  Impl(const TensorFile& file, const ModelConfig& model_config, std::span<const std::vector<TokenId>> all,
       const std::filesystem::path& scratch_folder, const SuffixTuningOptions& tuning_options)
      : source(file),
        config(model_config),
        folder(scratch_folder),
        options(tuning_options),
        sequences(split_sequences(all, options.held_out)),
        batches(batches_of(sequences.used, options.batch_tokens)),
        rate(options.rate),
        original(source, folder, false),
        teacher(original, sequences.used, folder),
        judge(original, sequences.held_out, folder),
        used(folder, tokens_of(sequences.used), config.dim),
        held_out(folder, tokens_of(sequences.held_out), config.dim),
        view(source, [this](size_t i) { return values(source.tensors()[i].name); }) {
    for (const ModelPart& part : model_parts(source, config)) {
      if (part.part == LayerPart::kHead) continue;
      for (const std::string& tensor : part.tensors()) layer_of.emplace(tensor, part.layer);
    }
  }

  Matrix<float> values(const std::string& tensor) {
    if (!changed.contains(tensor)) return {};
    return copy_of(model->weight(tensor));
  }
  static Matrix<float> copy_of(MatrixView<const float> m) {
    Matrix<float> out = Matrix<float>::uninitialized(m.rows(), m.cols());
    std::copy_n(m.data(), m.size(), out.data());
    return out;
  }
  bool tune(size_t layer, const TensorFile& coded, std::vector<std::string>* notes);

  const TensorFile& source;
  const ModelConfig& config;
  const std::filesystem::path folder;
  const SuffixTuningOptions options;
  const SplitSequences sequences;
  const std::vector<Batch> batches;
  double rate;
  GradientModel original;
  ReferencePredictions teacher, judge;
  ScratchMatrix used, held_out;  // [tokens, dim] states of the sequences at layer `at`
  size_t at = 0;
  bool embedded = false;
  CodedView view;
  std::map<std::string, size_t> layer_of;
  std::set<std::string> tunable, changed;
  std::optional<GradientModel> model;  // model whose layers from `at` on are tuned; the layers before are not used
};

bool SuffixTuning::Impl::tune(size_t layer, const TensorFile& coded, std::vector<std::string>* notes) {
  if (!model) model.emplace(coded, folder, true);
  model->advance(sequences.used, !embedded, at, layer, used.view());
  model->advance(sequences.held_out, !embedded, at, layer, held_out.view());
  embedded = true;
  at = layer;
  std::vector<std::string> tensors;
  uint64_t weights = 0;
  for (const auto& [tensor, of_layer] : layer_of) {
    if (of_layer < layer || !tunable.contains(tensor)) continue;
    tensors.push_back(tensor);
    weights += source.tensors()[source.find(tensor)].elements();
  }
  if (tensors.empty()) return false;
  ScratchMatrix backup(folder, 1, weights);
  WeightAdam adam(*model, tensors, backup.view());
  backup.release();
  const double before = judge.mean_kl(*model, {layer, held_out.view()});
  const size_t steps = options.epochs * batches.size();
  for (size_t step = 0; step < steps; ++step) {
    throw_if_interrupted();
    const Batch& batch = batches[step % batches.size()];
    model->run(std::span(sequences.used).subspan(batch.begin, batch.end - batch.begin),
               [&](size_t first, MatrixView<float> logits) { return teacher.loss(batch.row + first, logits); }, adam,
               {layer, used.view().row_range(batch.row, batch.tokens)});
    adam.step(rate * static_cast<double>(steps - step) / static_cast<double>(steps));
    if (options.progress) options.progress(step + 1, steps);
  }
  const double whole = judge.mean_kl(*model, {layer, held_out.view()});
  adam.go_half();
  const double half = judge.mean_kl(*model, {layer, held_out.view()});
  const double after = std::min(whole, half);
  const bool better = after < before;
  if (better && whole < half) adam.go_on();
  if (!better) adam.go_back();
  rate *= !better ? 0.25 : whole < half ? 1.5 : 0.5;
  notes->push_back(
      fmt::format("weights from layer {} on tuned before they were coded: KL {:.4g}, {:.4g} before, on "
                  "sequences held out{}",
                  layer, after, before, better ? "" : "; not kept"));
  if (better) changed.insert(tensors.begin(), tensors.end());
  for (const ScratchMatrix* m : {&used, &held_out}) m->release();
  return better;
}

bool SuffixTuning::is_possible(const TensorFile& source, const ModelConfig& config) {
  if (config.encoder || config.experts != 0 || config.transposed_weights) return false;
  uint64_t weights = 0;
  for (const ModelPart& part : model_parts(source, config)) {
    if (part.part == LayerPart::kHead) continue;
    for (const std::string& tensor : part.tensors()) weights += source.tensors()[source.find(tensor)].elements();
  }
  return weights <= kMostWeights;
}

SuffixTuning::SuffixTuning(const TensorFile& source, const ModelConfig& config,
                           std::span<const std::vector<TokenId>> sequences, const std::filesystem::path& folder,
                           const SuffixTuningOptions& options)
    : impl_(std::make_unique<Impl>(source, config, sequences, folder, options)) {}

SuffixTuning::~SuffixTuning() = default;

void SuffixTuning::start(const std::set<std::string>& tensors) { impl_->tunable = tensors; }

bool SuffixTuning::reach(size_t layer, const TensorFile& coded) {
  return layer % impl_->options.every == 0 && impl_->tune(layer, coded, &notes_);
}

bool SuffixTuning::has(const std::string& tensor) const { return impl_ && impl_->changed.contains(tensor); }

Matrix<float> SuffixTuning::find(const std::string& tensor) const { return impl_->values(tensor); }

const TensorFile& SuffixTuning::tuned() const { return impl_->view; }

void SuffixTuning::release() { impl_.reset(); }

std::vector<std::string> SuffixTuning::notes() const { return notes_; }

}  // namespace occ
