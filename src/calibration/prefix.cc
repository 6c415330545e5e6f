#include "calibration/prefix.h"

#include <algorithm>
#include <array>
#include <numeric>

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
  left_ = ScratchMatrix(folder_, tokens_ * std::max<size_t>(1, config_.experts_used), config_.ff_dim);
  numbers_.resize(tokens_);
  std::iota(numbers_.begin(), numbers_.end(), size_t{0});
  buffers_.emplace(config_, most_rows_);
  if (config_.position == Position::kRotary) {
    read_rope_factors(loader_, config_);
    rope_ = Rope(config_, longest > config_.rope_original_context);
    local_rope_ = Rope::local(config_);
    for (Matrix<float>* m : {&buffers_->rotations, &buffers_->local_rotations}) {
      *m = Matrix<float>::uninitialized(most_rows_, config_.rotary_dim);
    }
  }
}

Matrix<float> Prefix::buffer() const { return Matrix<float>::uninitialized(most_rows_, config_.dim); }

void Prefix::load(std::initializer_list<Linear*> list) {
  for (Linear* linear : list) {
    if (!linear->tensor.empty()) loader_.load(*linear);
  }
}

void Prefix::embed() {
  const TensorNames& names = loader_.names();
  const Linear embedding = loader_.embedding(names.token_embedding, config_.vocab_size, config_.dim);
  Linear positions;
  if (config_.position == Position::kLearned) {
    positions = loader_.embedding(names.position_embedding, config_.learned_positions(), config_.dim);
  }
  std::vector<float> token_type;
  NormWeights norm;
  if (config_.encoder) {
    if (loader_.has_token_types()) token_type = loader_.first_row(names.token_type_embedding, config_.dim);
    norm = loader_.norm(names.embedding_norm, config_.dim);
  }
  size_t row = 0;
  for (const std::vector<TokenId>& s : sequences_) {
    std::vector<uint32_t> ids(s.begin(), s.end()), places(s.size());
    for (size_t t = 0; t < s.size(); ++t) places[t] = static_cast<uint32_t>(config_.position_offset + t);
    const MatrixView<float> x = x_.view().row_range(row, s.size());
    embedding.weight->rows(ids, x);
    scale_and_cap(config_.embedding_scale, 0, x);
    if (positions || config_.encoder) {
      Matrix<float> p(x.rows(), x.cols());
      if (positions) positions.weight->rows(places, p.view());
      const Addend addend{p.view(), token_type.empty() ? nullptr : token_type.data()};
      add_and_normalize(config_, std::array{addend}, norm, x, config_.encoder ? x : MatrixView<float>{});
    }
    row += s.size();
  }
}

void Prefix::begin_layer(size_t layer) { layer_ = loader_.layer(layer); }

MatrixView<const float> Prefix::normed(const NormWeights& norm, MatrixView<float> x, MatrixView<float> buffer) const {
  if (config_.norms_residual_sums) return x;
  const MatrixView<float> out = buffer.row_range(0, x.rows());
  normalize(config_, norm, x, out);
  return out;
}

void Prefix::add_output(const Linear& linear, MatrixView<const float> inputs, const NormWeights& post_norm,
                        const NormWeights& norm) {
  Matrix<float> y = buffer();
  for (const Chunk& c : chunks_) {
    const MatrixView<float> to = y.view().row_range(0, c.rows), x = x_.view().row_range(c.row, c.rows);
    linear.apply(inputs.row_range(c.row, c.rows), to, options_);
    const Addend addend{to, linear.bias_data(), &post_norm, config_.residual_scale};
    add_and_normalize(config_, std::array{addend}, norm, x, config_.norms_residual_sums ? x : MatrixView<float>{});
  }
}

void Prefix::add_attention() {
  add_output(layer_.attention_output, mixed_.view(), layer_.attention_post_norm, layer_.attention_norm);
}

void Prefix::add_mlp() {
  if (layer_.has_experts()) return add_experts();
  load({&layer_.mlps[0].down});
  add_output(layer_.mlps[0].down, left_.view(), layer_.mlp_post_norm, layer_.mlp_norm);
}

void Prefix::add_experts() {
  size_t row = 0;
  Matrix<float> y = buffer();
  ScratchMatrix sums(folder_, tokens_, config_.dim);
  for (size_t t = 0; t < tokens_; ++t) std::fill_n(sums.view().row(t), config_.dim, 0.0f);
  for (size_t e = 0; e < layer_.mlps.size(); ++e) {
    Linear& down = layer_.mlps[e].down;
    load({&down});
    for_chunks_of(e, &row, [&](const Chunk& c, std::span<const Routed> routed, size_t first) {
      const MatrixView<float> out = y.view().row_range(0, routed.size());
      down.apply(left_.view().row_range(first, routed.size()), out, options_);
      add_routed(routed, out, down.bias_data(), sums.view().row_range(c.row, c.rows));
    });
    down.weight.reset();
  }
  for (const Chunk& c : chunks_) {
    const Addend addend{sums.view().row_range(c.row, c.rows), nullptr, &layer_.mlp_post_norm, config_.residual_scale};
    add_and_normalize(config_, std::array{addend}, {}, x_.view().row_range(c.row, c.rows), {});
  }
}

void Prefix::activate_to(const Mlp& mlp, MatrixView<const float> inputs, MatrixView<float> left) {
  const MatrixView<float> made = activated(config_, mlp, inputs, *buffers_, options_);
  for (size_t r = 0; r < made.rows(); ++r) std::copy_n(made.row(r), made.cols(), left.row(r));
}

Routes Prefix::route(MatrixView<const float> normed) const {
  Matrix<float> logits = Matrix<float>::uninitialized(normed.rows(), config_.experts);
  layer_.router.apply(normed, logits.view(), options_);
  return route_tokens(config_, layer_.router.bias, logits.view());
}

void Prefix::for_chunks_of(size_t expert, size_t* row, const ExpertChunk& body) const {
  for (size_t i = 0; i < chunks_.size(); ++i) {
    throw_if_interrupted();
    const std::span<const Routed> routed = routes_[i][expert];
    if (routed.empty()) continue;
    body(chunks_[i], routed, *row);
    *row += routed.size();
  }
}

void Prefix::run_experts(bool of_down, const Visit& visit) {
  Matrix<float> work = buffer(), gathered = buffer();
  if (!of_down) {
    load({&layer_.router});
    routes_.clear();
    for (const Chunk& c : chunks_) {
      routes_.push_back(route(normed(layer_.mlp_norm, x_.view().row_range(c.row, c.rows), work.view())));
    }
  }
  size_t row = 0;
  std::vector<size_t> tokens;
  for (size_t e = 0; e < layer_.mlps.size(); ++e) {
    Mlp& mlp = layer_.mlps[e];
    if (of_down) load({&mlp.gate_up, &mlp.gate, &mlp.up});
    for_chunks_of(e, &row, [&](const Chunk& c, std::span<const Routed> routed, size_t first) {
      tokens.clear();
      for (const Routed& r : routed) tokens.push_back(c.row + r.token);
      const MatrixView<float> in = gathered.view().row_range(0, routed.size());
      gather_routed(routed, normed(layer_.mlp_norm, x_.view().row_range(c.row, c.rows), work.view()), in);
      if (!of_down) return visit({e, tokens, in});
      const MatrixView<float> left = left_.view().row_range(first, routed.size());
      activate_to(mlp, in, left);
      visit({e, tokens, left});
    });
    for (Linear* linear : {&mlp.gate_up, &mlp.gate, &mlp.up}) linear->weight.reset();
  }
}

void Prefix::restart(const ModelPart& part, const Prefix& other) {
  OCC_CHECK(part.part == LayerPart::kQueryKeyValue && other.tokens_ == tokens_);
  for (size_t t = 0; t < tokens_; ++t) std::copy_n(other.x_.view().row(t), config_.dim, x_.view().row(t));
  begin_layer(part.layer);
  x_.release();
}

void Prefix::run_head(const Visit& visit) {
  Matrix<float> work = buffer();
  layer_ = Layer();
  const NormWeights norm = loader_.norm(loader_.names().final_norm, config_.dim);
  for (const Chunk& c : chunks_) {
    visit({0, tokens_of(c), normed(norm, x_.view().row_range(c.row, c.rows), work.view())});
  }
}

void Prefix::run(const ModelPart& at, const Visit& visit) {
  throw_if_interrupted();
  const LayerPart part = at.part;
  if (part == LayerPart::kQueryKeyValue || part == LayerPart::kHead) {
    if (at.layer == 0) {
      embed();
    } else {
      if (config_.parallel_residual) add_attention();
      add_mlp();
    }
    if (part == LayerPart::kHead) return run_head(visit);
    begin_layer(at.layer);
  } else if (part == LayerPart::kAttentionOutput) {
    load({&layer_.qkv, &layer_.q, &layer_.k, &layer_.v});
  } else if (part == LayerPart::kGateUp) {
    for (Linear* linear : {&layer_.qkv, &layer_.q, &layer_.k, &layer_.v}) linear->weight.reset();
    load({&layer_.attention_output});
    if (!config_.parallel_residual) add_attention();
  } else if (!layer_.has_experts()) {
    load({&layer_.mlps[0].gate_up, &layer_.mlps[0].gate, &layer_.mlps[0].up});
  }
  const bool of_mlp = part == LayerPart::kGateUp || part == LayerPart::kDown;
  if (of_mlp && layer_.has_experts()) {
    run_experts(part == LayerPart::kDown, visit);
    for (const ScratchMatrix* m : {&x_, &left_}) m->release();
    return;
  }
  Matrix<float> work = buffer();
  for (const Chunk& c : chunks_) {
    throw_if_interrupted();
    const MatrixView<float> x = x_.view().row_range(c.row, c.rows);
    MatrixView<const float> inputs = normed(of_mlp ? layer_.mlp_norm : layer_.attention_norm, x, work.view());
    if (part == LayerPart::kAttentionOutput) {
      for (const Segment& g : c.segments) {
        for (size_t t = 0; t < g.count && rope_.pairs() != 0; ++t) {
          rope_.table_row(t, buffers_->rotations.row(g.row + t));
          local_rope_.table_row(t, buffers_->local_rotations.row(g.row + t));
        }
      }
      const MatrixView<float> mixed = mixed_.view().row_range(c.row, c.rows);
      mix_tokens(config_, layer_, 0, c.segments, inputs, mixed, *buffers_, options_);
      inputs = mixed;
    } else if (part == LayerPart::kDown) {
      const MatrixView<float> left = left_.view().row_range(c.row, c.rows);
      activate_to(layer_.mlps[0], inputs, left);
      inputs = left;
    }
    visit({0, tokens_of(c), inputs});
  }
  if (part == LayerPart::kDown) {
    Mlp& m = layer_.mlps[0];
    for (Linear* linear : {&m.gate_up, &m.gate, &m.up}) linear->weight.reset();
  }
  for (const ScratchMatrix* m : {&x_, &mixed_, &left_}) m->release();
}

}  // namespace occ
