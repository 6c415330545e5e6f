#include "model/block.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "model/attention.h"
#include "model/experts.h"
#include "model/kernels.h"
#include "operators/together.h"

namespace occ {
namespace {

// Outputs of several linear layers with the same inputs, without their biases.
struct LinearOutputs {
  const Linear* linear;
  MatrixView<float> y;
};
void apply_linears(MatrixView<const float> x, std::initializer_list<LinearOutputs> all,
                   const TransformerOptions& options) {
  std::vector<Product> products;
  for (const LinearOutputs& l : all) {
    if (options.observer) options.observer(l.linear->tensor, x);
    products.push_back({l.linear->weight.get(), l.y});
  }
  apply_together(x, products);
}

// Tokens of one segment whose attention is one task: rows (token, head of a group) that fill a few tiles.
constexpr size_t kPanelRows = 64;

void run_panels(const ModelConfig& c, const Layer& w, size_t layer, std::span<const Segment> segments,
                MatrixView<const float> qkv, MatrixView<float> out) {
  const QkvLayout at(c);
  const size_t group = c.heads / c.kv_heads, panel = std::max<size_t>(1, kPanelRows / group);
  std::vector<AttentionPanel> panels;
  uint64_t work = 0;  // multiply-adds
  for (const Segment& s : segments) {
    for (size_t t = 0; t < s.count; t += panel) {
      AttentionPanel p;
      p.tokens = std::min(panel, s.count - t);
      p.group = group;
      p.head_dim = c.head_dim;
      p.scale = c.score_scale();
      p.softcap = c.attention_softcap;
      p.first = s.position + t;
      p.length = s.position + s.count;
      p.causal = c.causal;
      p.window = w.kind.window;
      p.q_token_step = qkv.stride();
      p.q_head_step = at.q_step;
      p.out_token_step = out.stride();
      p.half = s.cache->half();
      for (size_t h = 0; h < c.kv_heads; ++h) {
        p.q = qkv.row(s.row + t) + at.q + h * group * at.q_step;
        p.out = out.row(s.row + t) + h * group * c.head_dim;
        p.cache = s.cache->head(layer, h);
        panels.push_back(p);
      }
      work += uint64_t{2} * p.tokens * c.heads * c.head_dim * p.length;
    }
  }
  if (work < (1 << 17)) {  // some ten microseconds
    for (const AttentionPanel& p : panels) attend(p);
  } else {
    parallel_for(panels.size(), [&](size_t i) { attend(panels[i]); });
  }
}

}  // namespace

BlockBuffers::BlockBuffers(const ModelConfig& c, size_t rows)
    : qkv_(Matrix<float>::uninitialized(rows, qkv_dim(c))),
      mixed_(Matrix<float>::uninitialized(rows, c.heads * c.head_dim)),
      wide_(Matrix<float>::uninitialized(rows, 2 * c.ff_dim)),
      output_(Matrix<float>::uninitialized(rows, c.dim)),
      attended_(Matrix<float>::uninitialized(rows, c.dim)) {}

float query_factor(const ModelConfig& c, size_t position) {
  if (c.query_growth == 0) return 1;
  return 1 + c.query_growth * std::log1p(static_cast<float>(position / c.rope_original_context));
}

void finish_heads(const ModelConfig& c, const Layer& w, size_t position, const float* rotation, float* row) {
  const QkvLayout at(c);
  const float q_factor = query_factor(c, position);
  const auto finish = [&](float* head, const std::vector<float>& norm, float factor) {
    if (!norm.empty() && !c.norms_whole_queries) rms_norm_head(norm.data(), c.norm_eps, head, c.head_dim);
    if (rotation != nullptr) rotate_head(c.rope_pairs, rotation, c.rotary_dim / 2, head);
    if (factor != 1) scale_and_cap_row(factor, 0, head, c.head_dim);
  };
  if (!w.q_norm.empty() && c.norms_whole_queries) {
    rms_norm_head(w.q_norm.data(), c.norm_eps, row + at.q, w.q_norm.size());
    rms_norm_head(w.k_norm.data(), c.norm_eps, row + at.k, w.k_norm.size());
  }
  for (size_t h = 0; h < c.heads; ++h) finish(row + at.q + h * at.q_step, w.q_norm, q_factor);
  for (size_t h = 0; h < c.kv_heads; ++h) finish(row + at.k + h * at.k_step, w.k_norm, 1);
}

void mix_tokens(const ModelConfig& c, const Layer& w, size_t layer, std::span<const Segment> segments,
                MatrixView<const float> x, MatrixView<float> mixed, BlockBuffers& buffers,
                const TransformerOptions& options) {
  const MatrixView<float> qkv = buffers.qkv(x.rows());
  if (w.qkv) {
    w.qkv.apply(x, qkv, options);
  } else {
    const size_t q_dim = c.heads * c.head_dim, kv_dim = c.kv_heads * c.head_dim;
    apply_linears(x,
                  {{&w.q, qkv.sub({0, 0, x.rows(), q_dim})},
                   {&w.k, qkv.sub({0, q_dim, x.rows(), kv_dim})},
                   {&w.v, qkv.sub({0, q_dim + kv_dim, x.rows(), kv_dim})}},
                  options);
  }
  const QkvLayout at(c);
  std::vector<const Segment*> of_row(x.rows());
  for (const Segment& s : segments) std::fill_n(of_row.begin() + static_cast<ptrdiff_t>(s.row), s.count, &s);
  for_row_panels(x.rows(), 4 * qkv.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      const Segment& s = *of_row[r];
      float* row = qkv.row(r);
      if (!w.qkv_bias.empty()) add_to(w.qkv_bias.data(), row, w.qkv_bias.size());
      const size_t position = s.position + r - s.row;
      finish_heads(c, w, position, buffers.rotation(w.kind, r), row);
      for (size_t h = 0; h < c.kv_heads; ++h) {
        s.cache->put(layer, h, position, row + at.k + h * at.k_step, row + at.v + h * at.v_step);
      }
    }
  });
  run_panels(c, w, layer, segments, qkv, mixed);
}

MatrixView<float> activated(const ModelConfig& c, const Mlp& w, MatrixView<const float> x, BlockBuffers& buffers,
                            const TransformerOptions& options) {
  const MatrixView<float> both = buffers.wide(x.rows());
  const MatrixView<float> left = both.sub({0, 0, x.rows(), c.ff_dim});
  if (w.gate_up) {
    w.gate_up.apply(x, both, options);
  } else if (w.gate) {
    apply_linears(x, {{&w.gate, left}, {&w.up, both.sub({0, c.ff_dim, x.rows(), c.ff_dim})}}, options);
  } else {
    w.up.apply(x, left, options);
  }
  activate(c.activation, w.gated(), w.gate_up_bias.empty() ? nullptr : w.gate_up_bias.data(), w.gated() ? both : left);
  return left;
}

namespace {

// Experts one after the other, each for all of its tokens.
void run_experts(const ModelConfig& c, const Layer& w, MatrixView<const float> x, MatrixView<float> y,
                 BlockBuffers& buffers, const TransformerOptions& options) {
  Matrix<float> logits = Matrix<float>::uninitialized(x.rows(), c.experts);
  w.router.apply(x, logits.view(), options);
  const Routes routes = route_tokens(c, w.router.bias, logits.view());
  for (size_t r = 0; r < y.rows(); ++r) std::fill_n(y.row(r), y.cols(), 0.0f);
  for (size_t e = 0; e < c.experts; ++e) {
    const size_t n = routes[e].size();
    if (n == 0) continue;
    Matrix<float> in = Matrix<float>::uninitialized(n, x.cols()), out = Matrix<float>::uninitialized(n, y.cols());
    gather_routed(routes[e], x, in.view());
    w.mlps[e].down.apply(activated(c, w.mlps[e], in.view(), buffers, options), out.view(), options);
    add_routed(routes[e], out.view(), w.mlps[e].down.bias_data(), y);
  }
}

// y [rows, dim] = down(activation(...)), without the bias of down; or what the experts make of it, biases included.
void run_mlp(const ModelConfig& c, const Layer& w, MatrixView<const float> x, MatrixView<float> y,
             BlockBuffers& buffers, const TransformerOptions& options) {
  if (w.has_experts()) return run_experts(c, w, x, y, buffers, options);
  w.mlp().down.apply(activated(c, w.mlp(), x, buffers, options), y, options);
}

}  // namespace

void run_layer(const ModelConfig& c, const Layer& w, size_t layer, std::span<const Segment> segments,
               const NormWeights& next, MatrixView<float> x, MatrixView<float> normed, BlockBuffers& buffers,
               const TransformerOptions& options) {
  const size_t n = x.rows();
  const MatrixView<float> mixed = buffers.mixed(n), attended = buffers.attended(n), fed = buffers.output(n);
  const Addend attention{attended, w.attention_output.bias_data(), &w.attention_post_norm, c.residual_scale};
  const Addend mlp{fed, w.mlp_output_bias(), &w.mlp_post_norm, c.residual_scale};
  mix_tokens(c, w, layer, segments, normed, mixed, buffers, options);
  w.attention_output.apply(mixed, attended, options);
  if (c.parallel_residual) {
    normalize(c, w.mlp_norm, x, normed);
    run_mlp(c, w, normed, fed, buffers, options);
    add_and_normalize(c, std::array{attention, mlp}, next, x, normed);
    return;
  }
  add_and_normalize(c, std::array{attention}, c.norms_residual_sums ? w.attention_norm : w.mlp_norm, x, normed);
  run_mlp(c, w, normed, fed, buffers, options);
  add_and_normalize(c, std::array{mlp}, c.norms_residual_sums ? w.mlp_norm : next, x, normed);
}

}  // namespace occ
