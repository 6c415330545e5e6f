#include "calibration/gradients.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "calibration/backward_kernels.h"
#include "calibration/batches.h"
#include "calibration/changed_file.h"
#include "calibration/dense_layer.h"
#include "calibration/layer_pass.h"
#include "calibration/weights_on_demand.h"
#include "model/kernels.h"
#include "model/rope.h"
#include "tensor/scratch_matrix.h"

namespace occ {
namespace {

constexpr size_t kLogits = 1 << 24;  // number of logits that are computed together

// What one pass over the sequences works with. Tokens of all sequences are numbered one after the other.
struct Pass {
  template <typename Model>
  Pass(const Model& model, std::span<const std::vector<TokenId>> sequences, bool keep_all)
      : panels(panels_of(sequences)), keep_inputs(keep_all) {
    model.check(sequences);
    for (const std::vector<TokenId>& s : sequences) {
      for (size_t t = 0; t < s.size(); ++t) {
        tokens.push_back(static_cast<uint32_t>(s[t]));
        positions.push_back(static_cast<uint32_t>(model.config.position_offset + t));
      }
    }
    if (model.config.position == Position::kRotary) rotations = model.make_rotations(sequences);
    size_t most = 0;
    for (const Panel& panel : panels) most = std::max(most, panel.tokens);
    if (most != 0) layer.emplace(model.config, most, rotations);
  }

  std::vector<Panel> panels;
  std::vector<uint32_t> tokens, positions;
  std::vector<Rotations> rotations;  // empty for models without rotary positions
  std::optional<LayerPass> layer;
  // Whether `inputs` has the inputs of every layer and of the final norm, or only the latest states.
  bool keep_inputs;
  std::vector<ScratchMatrix> inputs;
  ScratchMatrix embedded;  // encoders: sum of the embeddings before the first norm
};

void scale_rows(std::span<const float> factors, MatrixView<float> w) {
  for (size_t r = 0; r < w.rows(); ++r) {
    for (size_t c = 0; c < w.cols(); ++c) w(r, c) *= factors[r];
  }
}

}  // namespace

struct GradientModel::Impl {
  Impl(const TensorFile& base, const std::filesystem::path& folder, bool keep);

  void read_norms() {
    if (config.encoder) {
      input_norm = loader->norm(loader->names().embedding_norm, config.dim);
    } else {
      final_norm = loader->norm(loader->names().final_norm, config.dim);
    }
  }
  void check(std::span<const std::vector<TokenId>> sequences) const;
  std::vector<Rotations> make_rotations(std::span<const std::vector<TokenId>> sequences) const;
  // Returns the weights of a layer. They are kept in `layers` or read into `own`.
  const DenseLayer& layer(size_t index, std::optional<DenseLayer>& own);
  DenseLayer read_layer(size_t index);
  WeightsOnDemand& head_weights() { return config.tied_embeddings ? embedding : own_head; }
  void embed(const Pass& pass, MatrixView<float> out);
  void forward(Pass& pass, const LayerInputs& start = {});
  // Returns the sum of the losses. Computes gradients only if there is an observer.
  double head(const LossFn& loss, MatrixView<const float> x, MatrixView<float> dx, GradientObserver* observer);
  // Does the same for encoders.
  double pool(const Pass& pass, const LossFn& loss, MatrixView<const float> x, MatrixView<float> dx) const;
  void backward(Pass& pass, const LayerInputs& start, MatrixView<float> gradient, GradientObserver& observer);
  // The weight of a linear layer is rows [row, row + rows) of a matrix of a layer. Usage error unless `tensor` is such
  // a weight.
  struct Place {
    size_t layer, matrix, row, rows;
  };
  Place find(const std::string& tensor);

  ChangedFile file;
  std::filesystem::path scratch_folder;
  bool keep_weights;
  ModelConfig config;
  std::optional<WeightLoader> loader;
  WeightsOnDemand embedding, positions, own_head;
  std::string type_tensor;                                // token types of encoders
  NormWeights final_norm, input_norm;                     // final_norm is used by causal models, input_norm by encoders
  std::vector<DenseLayer> layers;                         // empty unless weights are kept in memory
  std::map<std::string, std::vector<float>> row_factors;  // factors other than 1, by tensor
  bool changed = false;                                   // whether vectors have changed since `layers` was read
};

GradientModel::Impl::Impl(const TensorFile& base, const std::filesystem::path& folder, bool keep)
    : file(base), scratch_folder(folder), keep_weights(keep), config(read_config(base)) {
  loader.emplace(file, config, Arithmetic::kF32);
  const TensorNames& names = loader->names();
  const auto matrix = [&](const std::string& tensor, size_t rows) {
    return WeightsOnDemand(file, loader->require(tensor, {rows, config.dim}), keep);
  };
  embedding = matrix(loader->embedding_tensor(names.token_embedding), config.vocab_size);
  if (config.position == Position::kLearned)
    positions = matrix(loader->embedding_tensor(names.position_embedding), config.learned_positions());
  if (config.encoder) {
    if (loader->has_token_types()) type_tensor = loader->embedding_tensor(names.token_type_embedding);
  } else if (!config.tied_embeddings) {
    own_head = matrix(loader->head_tensor(), config.vocab_size);
  }
  read_norms();
  if (config.position == Position::kRotary) read_rope_factors(*loader, config);
}

void GradientModel::Impl::check(std::span<const std::vector<TokenId>> sequences) const {
  const bool bounded = config.position == Position::kLearned || config.rope_scaling == RopeScaling::kDynamic;
  for (const std::vector<TokenId>& s : sequences) {
    if (bounded && s.size() > config.max_context) {
      throw_usage("context: expected at most {} tokens (positions of the model), found {}", config.max_context,
                  s.size());
    }
    if (config.encoder && s.empty()) throw_input("text to embed: expected at least one token, found none");
    for (const TokenId token : s) {
      if (token < 0 || static_cast<size_t>(token) >= config.vocab_size) {
        throw_input("token {}: expected an id below {}, the size of the model's vocabulary", token, config.vocab_size);
      }
    }
  }
}

std::vector<Rotations> GradientModel::Impl::make_rotations(std::span<const std::vector<TokenId>> sequences) const {
  size_t longest = 0;
  for (const std::vector<TokenId>& s : sequences) longest = std::max(longest, s.size());
  std::vector<Rotations> out;
  for (const Rope& rope : {Rope(config, false), Rope(config, true), Rope::local(config)}) {
    Rotations& r = out.emplace_back();
    r.forth = Matrix<float>::uninitialized(longest, config.rotary_dim);
    for (size_t t = 0; t < longest; ++t) rope.table_row(t, r.forth.row(t));
    r.back = r.forth.clone();
    for (size_t t = 0; t < longest; ++t) {
      for (size_t i = rope.pairs(); i < 2 * rope.pairs(); ++i) r.back(t, i) = -r.back(t, i);
    }
  }
  return out;
}

DenseLayer GradientModel::Impl::read_layer(size_t index) {
  DenseLayer out = read_dense_layer(file, config, loader->layer(index));
  for (const DensePart& part : dense_parts(config, out.info)) {
    const auto factors = row_factors.find(part.linear->tensor);
    if (factors == row_factors.end()) continue;
    scale_rows(factors->second, out.matrices[part.matrix].view().row_range(part.row, part.linear->outputs));
  }
  return out;
}

const DenseLayer& GradientModel::Impl::layer(size_t index, std::optional<DenseLayer>& own) {
  if (!keep_weights) {
    own.reset();  // frees the layer before, so that only one is in memory
    return own.emplace(read_layer(index));
  }
  if (layers.empty()) {
    for (size_t i = 0; i < config.layers; ++i) layers.push_back(read_layer(i));
  } else if (changed) {
    for (size_t i = 0; i < config.layers; ++i) layers[i].info = loader->layer(i);
  }
  changed = false;
  return layers[index];
}

void GradientModel::Impl::embed(const Pass& pass, MatrixView<float> out) {
  embedding.gather(pass.tokens, out);
  scale_and_cap(config.embedding_scale, 0, out);
  if (config.position != Position::kLearned) return;
  Matrix<float> rows = Matrix<float>::uninitialized(out.rows(), config.dim);
  positions.gather(pass.positions, rows.view());
  for (size_t r = 0; r < out.rows(); ++r) add_to(rows.row(r), out.row(r), config.dim);
}

void GradientModel::Impl::forward(Pass& pass, const LayerInputs& start) {
  const size_t n = pass.tokens.size();
  pass.inputs.emplace_back(scratch_folder, n, config.dim);
  const MatrixView<float> first = pass.inputs[0].view();
  if (start.states.size() == 0) {
    embed(pass, first);
  } else {
    OCC_CHECK(start.states.shape() == first.shape() && !config.encoder);
    for (size_t r = 0; r < n; ++r) std::copy_n(start.states.row(r), config.dim, first.row(r));
  }
  if (config.encoder) {
    const std::vector<float> type = type_tensor.empty()
                                        ? std::vector<float>(config.dim)
                                        : loader->first_row(loader->names().token_type_embedding, config.dim);
    pass.embedded = ScratchMatrix(scratch_folder, n, config.dim);
    for (size_t r = 0; r < n; ++r) {
      add_to(type.data(), first.row(r), config.dim);
      std::copy_n(first.row(r), config.dim, pass.embedded.view().row(r));
    }
    normalize(config, input_norm, first, first);
  }
  std::optional<DenseLayer> own;
  for (size_t l = start.layer; l < config.layers; ++l) {
    const DenseLayer& weights = layer(l, own);
    if (pass.keep_inputs) {
      const MatrixView<const float> from = pass.inputs.back().view();
      pass.inputs.emplace_back(scratch_folder, n, config.dim);
      for (size_t r = 0; r < n; ++r) std::copy_n(from.row(r), config.dim, pass.inputs.back().view().row(r));
    }
    for (const Panel& panel : pass.panels) {
      pass.layer->forward(weights, panel.sequences, pass.inputs.back().view().row_range(panel.row, panel.tokens));
    }
  }
}

double GradientModel::Impl::head(const LossFn& loss, MatrixView<const float> x, MatrixView<float> dx,
                                 GradientObserver* observer) {
  WeightsOnDemand& weights = head_weights();
  weights.load();
  const size_t step = std::min(x.rows(), std::clamp<size_t>(kLogits / config.vocab_size, 32, kPanelTokens));
  Matrix<float> normed = Matrix<float>::uninitialized(step, config.dim), d_normed = normed.clone();
  Matrix<float> buffer = Matrix<float>::uninitialized(step, config.vocab_size);
  VectorGradients vectors;
  double sum = 0;
  for (size_t row = 0; row < x.rows(); row += step) {
    const size_t n = std::min(step, x.rows() - row);
    const MatrixView<const float> part = x.row_range(row, n);
    const MatrixView<float> hidden = normed.view().row_range(0, n);
    const MatrixView<float> logits = buffer.view().row_range(0, n), d_hidden = d_normed.view().row_range(0, n);
    normalize(config, final_norm, part, hidden);
    product(hidden, Op::kTranspose, weights.view(), logits);
    scale_and_cap(config.logit_scale, config.logit_softcap, logits);
    const Matrix<float> capped = observer != nullptr && config.logit_softcap != 0 ? buffer.clone() : Matrix<float>();
    sum += loss(row, logits);
    if (observer == nullptr) continue;
    for (size_t r = 0; r < n && (capped.size() != 0 || config.logit_scale != 1); ++r) {
      const float* y = capped.size() != 0 ? capped.row(r) : nullptr;
      cap_backward_row(config.logit_scale, config.logit_softcap, y, logits.row(r), logits.cols());
    }
    const MatrixView<float> d_part = dx.row_range(row, n);
    observer->linear({weights.name(), hidden, weights.view(), logits, {}});
    product(logits, Op::kNone, weights.view(), d_hidden);
    for (size_t r = 0; r < n; ++r) std::fill_n(d_part.row(r), config.dim, 0.0f);
    norm_backward(config, final_norm, part, d_hidden, d_part, vectors);
  }
  if (observer != nullptr) vectors.flush(*observer);
  weights.drop();
  return sum;
}

double GradientModel::Impl::pool(const Pass& pass, const LossFn& loss, MatrixView<const float> x,
                                 MatrixView<float> dx) const {
  std::vector<SequenceRows> texts;
  for (const Panel& panel : pass.panels) {
    for (const SequenceRows& s : panel.sequences) {
      const size_t row = panel.row + s.row;
      if (config.pooling == Pooling::kFirst) {
        texts.push_back({row, 1});
      } else if (config.pooling == Pooling::kLast) {
        texts.push_back({row + s.count - 1, 1});
      } else {
        texts.push_back({row, s.count});
      }
    }
  }
  Matrix<float> embeddings(texts.size(), config.dim);
  const auto scale = [&](size_t i) {
    for (size_t c = 0; c < config.dim; ++c) embeddings(i, c) /= static_cast<float>(texts[i].count);
  };
  for (size_t i = 0; i < texts.size(); ++i) {
    for (size_t t = 0; t < texts[i].count; ++t) add_to(x.row(texts[i].row + t), embeddings.row(i), config.dim);
    scale(i);
  }
  const double sum = loss(0, embeddings.view());
  if (dx.size() == 0) return sum;
  for (size_t r = 0; r < dx.rows(); ++r) std::fill_n(dx.row(r), config.dim, 0.0f);
  for (size_t i = 0; i < texts.size(); ++i) {
    scale(i);
    for (size_t t = 0; t < texts[i].count; ++t) std::copy_n(embeddings.row(i), config.dim, dx.row(texts[i].row + t));
  }
  return sum;
}

// On entry, `gradient` is the gradient of the output of the last layer; it is replaced by that of the input of each
// layer in turn.
void GradientModel::Impl::backward(Pass& pass, const LayerInputs& start, MatrixView<float> gradient,
                                   GradientObserver& observer) {
  std::optional<DenseLayer> own;
  for (size_t l = config.layers; l-- > start.layer;) {
    pass.inputs.pop_back();
    const DenseLayer& weights = layer(l, own);
    VectorGradients vectors;
    for (const Panel& panel : pass.panels) {
      pass.layer->backward(weights, panel.sequences, pass.inputs.back().view().row_range(panel.row, panel.tokens),
                           gradient.row_range(panel.row, panel.tokens), observer, vectors);
    }
    vectors.flush(observer);
  }
  if (start.states.size() != 0) return;
  if (config.encoder) {
    Matrix<float> dx(gradient.rows(), config.dim);
    VectorGradients vectors;
    norm_backward(config, input_norm, pass.embedded.view(), gradient, dx.view(), vectors);
    vectors.flush(observer);
    for (size_t r = 0; r < dx.rows(); ++r) std::copy_n(dx.row(r), config.dim, gradient.row(r));
    if (!type_tensor.empty()) observer.embedding(type_tensor, std::vector<uint32_t>(gradient.rows()), gradient);
  }
  for (const Panel& panel : pass.panels) {
    const auto dx = gradient.row_range(panel.row, panel.tokens);
    if (config.position == Position::kLearned) {
      observer.embedding(positions.name(), std::span(pass.positions).subspan(panel.row, panel.tokens), dx);
    }
    scale_and_cap(config.embedding_scale, 0, dx);
    observer.embedding(embedding.name(), std::span(pass.tokens).subspan(panel.row, panel.tokens), dx);
  }
}

GradientModel::GradientModel(const TensorFile& file, const std::filesystem::path& scratch_folder, bool keep_weights)
    : impl_(std::make_unique<Impl>(file, scratch_folder, keep_weights)) {}

GradientModel::~GradientModel() = default;

const ModelConfig& GradientModel::config() const { return impl_->config; }
const std::string& GradientModel::embedding_tensor() const { return impl_->embedding.name(); }
const std::string& GradientModel::head_tensor() const {
  static const std::string none;
  return impl_->config.encoder ? none : impl_->head_weights().name();
}

void GradientModel::set_vector(const std::string& tensor, std::vector<float> values) {
  impl_->file.replace(tensor, std::move(values));
  impl_->read_norms();
  impl_->changed = true;
}

GradientModel::Impl::Place GradientModel::Impl::find(const std::string& tensor) {
  for (size_t i = 0; i < config.layers; ++i) {
    std::optional<Layer> own;
    const Layer& info = layers.empty() ? own.emplace(loader->layer(i)) : layers[i].info;
    for (const DensePart& part : dense_parts(config, info)) {
      if (part.linear->tensor == tensor) return {i, part.matrix, part.row, part.linear->outputs};
    }
  }
  throw_usage("{}: tensor '{}': expected the weight of a linear layer", file.path(), tensor);
}

void GradientModel::set_row_factors(const std::string& tensor, std::vector<float> factors) {
  Impl& m = *impl_;
  const Impl::Place at = m.find(tensor);
  if (at.rows != factors.size()) {
    throw_usage("{}: tensor '{}': expected factors of {} rows, found {}", m.file.path(), tensor, at.rows,
                factors.size());
  }
  std::vector<float>& present = m.row_factors[tensor];
  if (!m.layers.empty()) {
    std::vector<float> change = factors;
    for (size_t r = 0; r < present.size(); ++r) change[r] /= present[r];
    scale_rows(change, m.layers[at.layer].matrices[at.matrix].view().row_range(at.row, at.rows));
  }
  present = std::move(factors);
}

MatrixView<float> GradientModel::weight(const std::string& tensor) {
  Impl& m = *impl_;
  OCC_CHECK(m.keep_weights);
  const Impl::Place at = m.find(tensor);
  std::optional<DenseLayer> own;
  m.layer(at.layer, own);
  return m.layers[at.layer].matrices[at.matrix].view().row_range(at.row, at.rows);
}

void GradientModel::advance(std::span<const std::vector<TokenId>> sequences, bool embed, size_t first, size_t end,
                            MatrixView<float> states) {
  Impl& m = *impl_;
  OCC_CHECK(!m.config.encoder);
  Pass pass(m, sequences, false);
  if (embed) m.embed(pass, states);
  for (size_t l = first; l < end; ++l) {
    const DenseLayer weights = m.read_layer(l);
    for (const Panel& panel : pass.panels) {
      pass.layer->forward(weights, panel.sequences, states.row_range(panel.row, panel.tokens));
    }
  }
}

double GradientModel::run(std::span<const std::vector<TokenId>> sequences, const LossFn& loss,
                          GradientObserver& observer, const LayerInputs& start) {
  Impl& m = *impl_;
  Pass pass(m, sequences, true);
  if (pass.tokens.empty()) return 0;
  m.forward(pass, start);
  ScratchMatrix gradient(m.scratch_folder, pass.tokens.size(), m.config.dim);
  const auto last = pass.inputs.back().view();
  const double sum =
      m.config.encoder ? m.pool(pass, loss, last, gradient.view()) : m.head(loss, last, gradient.view(), &observer);
  m.backward(pass, start, gradient.view(), observer);
  return sum;
}

double GradientModel::evaluate(std::span<const std::vector<TokenId>> sequences, const LossFn& loss,
                               const LayerInputs& start) {
  Impl& m = *impl_;
  Pass pass(m, sequences, false);
  if (pass.tokens.empty()) return 0;
  m.forward(pass, start);
  const auto last = pass.inputs.back().view();
  return m.config.encoder ? m.pool(pass, loss, last, {}) : m.head(loss, last, {}, nullptr);
}

void GradientModel::hidden(std::span<const std::vector<TokenId>> sequences, MatrixView<float> out) {
  Impl& m = *impl_;
  OCC_CHECK(!m.config.encoder);
  Pass pass(m, sequences, false);
  OCC_CHECK(out.rows() == pass.tokens.size());
  if (pass.tokens.empty()) return;
  m.forward(pass);
  normalize(m.config, m.final_norm, pass.inputs.back().view(), out);
}

void GradientModel::logits(MatrixView<const float> hidden, MatrixView<float> out) {
  OCC_CHECK(!impl_->config.encoder);
  WeightsOnDemand& head = impl_->head_weights();
  head.load();
  product(hidden, Op::kTranspose, head.view(), out);
  scale_and_cap(impl_->config.logit_scale, impl_->config.logit_softcap, out);
}

}  // namespace occ
