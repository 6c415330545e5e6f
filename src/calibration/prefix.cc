#include "calibration/prefix.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/interrupt.h"
#include "model/architectures.h"
#include "model/kernels.h"

namespace occ {
namespace {

constexpr size_t kChunkTokens = 1024;

}  // namespace

Prefix::Prefix(const TensorFile& weights, const ModelConfig& config, std::span<const std::vector<TokenId>> sequences,
               const std::filesystem::path& folder)
    : file_(weights),
      config_(config),
      layer_config_(config),
      sequences_(sequences),
      folder_(folder),
      loader_(file_, config_, Arithmetic::kF32),
      options_{.arithmetic = Arithmetic::kF32, .observer = {}} {
  size_t longest = 0, at_once = 1;
  for (const std::vector<TokenId>& s : sequences) longest = std::max(longest, s.size());
  if (longest != 0) at_once = std::clamp<size_t>(kChunkTokens / longest, 1, sequences.size());
  for (size_t i = 0; i < at_once; ++i) caches_.emplace_back(1, config_.kv_heads, config_.head_dim, longest, false);
  for (size_t i = 0; i < sequences.size(); i += at_once) {
    Chunk chunk{tokens_, 0, {}};
    for (size_t k = i; k < std::min(sequences.size(), i + at_once); ++k) {
      chunk.segments.push_back({chunk.rows, sequences[k].size(), 0, &caches_[k - i]});
      chunk.rows += sequences[k].size();
    }
    tokens_ += chunk.rows;
    most_rows_ = std::max(most_rows_, chunk.rows);
    chunks_.push_back(std::move(chunk));
  }
  x_ = ScratchMatrix(folder_, tokens_, config_.dim);
  mixed_ = ScratchMatrix(folder_, tokens_, config_.heads * config_.head_dim);
  left_ = ScratchMatrix(folder_, tokens_, config_.ff_dim);
  buffers_.emplace(config_, most_rows_);
  if (config_.position == Position::kRotary) {
    read_rope_factors(loader_, config_);
    rope_ = Rope(config_, longest > config_.rope_original_context);
    buffers_->rotations = Matrix<float>::uninitialized(most_rows_, config_.rotary_dim);
  }
}

Matrix<float> Prefix::buffer() const { return Matrix<float>::uninitialized(most_rows_, config_.dim); }

void Prefix::load(std::initializer_list<Linear*> list) {
  for (Linear* linear : list) {
    if (!linear->tensor.empty()) loader_.load(*linear);
  }
}

std::vector<std::string> Prefix::tensors(size_t s) {
  if (s == config_.layers * kStages) {
    const TensorNames& names = loader_.names();
    const std::string head = config_.tied_embeddings ? names.token_embedding : names.head;
    return {loader_.embedding_tensor(head)};
  }
  const Layer layer = loader_.layer(s / kStages);
  const std::array<std::vector<const Linear*>, kStages> stages = {
      std::vector<const Linear*>{&layer.qkv, &layer.q, &layer.k, &layer.v},
      {&layer.attention_output},
      {&layer.gate_up, &layer.gate, &layer.up},
      {&layer.down}};
  std::vector<std::string> names;
  for (const Linear* linear : stages[s % kStages]) {
    if (!linear->tensor.empty()) names.push_back(linear->tensor);
  }
  return names;
}

void Prefix::embed() {
  const TensorNames& names = loader_.names();
  const Linear embedding = loader_.embedding(names.token_embedding, config_.vocab_size, config_.dim);
  Linear positions;
  if (config_.position == Position::kLearned) {
    positions = loader_.embedding(names.position_embedding, config_.max_context, config_.dim);
  }
  std::vector<float> token_type;
  NormWeights norm;
  if (config_.encoder) {
    token_type = loader_.first_row(names.token_type_embedding, config_.dim);
    norm = loader_.norm(names.embedding_norm, config_.dim);
  }
  size_t row = 0;
  for (const std::vector<TokenId>& s : sequences_) {
    std::vector<uint32_t> ids(s.begin(), s.end()), places(s.size());
    for (size_t t = 0; t < s.size(); ++t) places[t] = static_cast<uint32_t>(t);
    const MatrixView<float> x = x_.view().row_range(row, s.size());
    embedding.weight->rows(ids, x);
    if (positions) {
      Matrix<float> p = Matrix<float>::uninitialized(x.rows(), x.cols());
      positions.weight->rows(places, p.view());
      const Addend addend{p.view(), token_type.empty() ? nullptr : token_type.data()};
      add_and_normalize(config_, std::array{addend}, norm, x, config_.encoder ? x : MatrixView<float>{});
    }
    row += s.size();
  }
}

void Prefix::begin_layer(size_t layer) {
  layer_ = loader_.layer(layer);
  // The caches have one layer: the window of this one is told by the configuration.
  layer_config_ = config_;
  if (layer < config_.sliding_window_layer) layer_config_.sliding_window = 0;
  layer_config_.sliding_window_layer = 0;
}

MatrixView<const float> Prefix::normed(const NormWeights& norm, MatrixView<float> x, MatrixView<float> buffer) const {
  if (config_.encoder) return x;
  const MatrixView<float> out = buffer.row_range(0, x.rows());
  normalize(config_, norm, x, out);
  return out;
}

void Prefix::add_output(const Linear& linear, MatrixView<const float> inputs, const NormWeights& norm) {
  Matrix<float> y = buffer();
  for (const Chunk& c : chunks_) {
    const MatrixView<float> to = y.view().row_range(0, c.rows), x = x_.view().row_range(c.row, c.rows);
    linear.apply(inputs.row_range(c.row, c.rows), to, options_);
    const Addend addend{to, linear.bias_data()};
    add_and_normalize(config_, std::array{addend}, norm, x, config_.encoder ? x : MatrixView<float>{});
  }
}

void Prefix::add_attention() { add_output(layer_.attention_output, mixed_.view(), layer_.attention_norm); }

void Prefix::add_mlp() { add_output(layer_.down, left_.view(), layer_.mlp_norm); }

void Prefix::run(size_t s, const Visit& visit) {
  throw_if_interrupted();
  const size_t stage = s % kStages;
  Matrix<float> work = buffer();
  if (stage == 0) {
    if (s == 0) {
      embed();
    } else {
      load({&layer_.down});
      if (config_.parallel_residual) add_attention();
      add_mlp();
    }
    if (s == config_.layers * kStages) {
      layer_ = Layer();
      const NormWeights norm = loader_.norm(loader_.names().final_norm, config_.dim);
      for (const Chunk& c : chunks_) visit(c.row, normed(norm, x_.view().row_range(c.row, c.rows), work.view()));
      return;
    }
    begin_layer(s / kStages);
  } else if (stage == 1) {
    load({&layer_.qkv, &layer_.q, &layer_.k, &layer_.v});
  } else if (stage == 2) {
    for (Linear* linear : {&layer_.qkv, &layer_.q, &layer_.k, &layer_.v}) linear->weight.reset();
    load({&layer_.attention_output});
    if (!config_.parallel_residual) add_attention();
  } else {
    load({&layer_.gate_up, &layer_.gate, &layer_.up});
  }
  for (const Chunk& c : chunks_) {
    throw_if_interrupted();
    const MatrixView<float> x = x_.view().row_range(c.row, c.rows);
    MatrixView<const float> inputs = normed(stage < 2 ? layer_.attention_norm : layer_.mlp_norm, x, work.view());
    if (stage == 1) {
      for (const Segment& g : c.segments) {
        for (size_t t = 0; t < g.count && rope_.pairs() != 0; ++t) {
          rope_.table_row(t, buffers_->rotations.row(g.row + t));
        }
      }
      const MatrixView<float> mixed = mixed_.view().row_range(c.row, c.rows);
      mix_tokens(layer_config_, layer_, 0, c.segments, inputs, mixed, *buffers_, options_);
      inputs = mixed;
    } else if (stage == 3) {
      const MatrixView<float> left = left_.view().row_range(c.row, c.rows);
      const MatrixView<float> made = activated(layer_config_, layer_, inputs, *buffers_, options_);
      for (size_t r = 0; r < c.rows; ++r) std::copy_n(made.row(r), made.cols(), left.row(r));
      inputs = left;
    }
    visit(c.row, inputs);
  }
  if (stage == 3) {
    for (Linear* linear : {&layer_.gate_up, &layer_.gate, &layer_.up}) linear->weight.reset();
  }
  for (const ScratchMatrix* m : {&x_, &mixed_, &left_}) m->release();
}

}  // namespace occ
