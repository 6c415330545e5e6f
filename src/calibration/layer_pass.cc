#include "calibration/layer_pass.h"

#include <algorithm>
#include <array>

#include "base/parallel.h"
#include "calibration/backward_kernels.h"
#include "model/block.h"
#include "model/kernels.h"

namespace occ {
namespace {

constexpr size_t kRowsOfSum = 64;  // number of rows that are summed in float before they are added to doubles

void copy_rows(MatrixView<const float> from, MatrixView<float> to) {
  for_row_panels(from.rows(), from.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) std::copy_n(from.row(r), from.cols(), to.row(r));
  });
}

// y += x + bias; the bias may be null.
void add_rows(MatrixView<const float> x, const float* bias, MatrixView<float> y) {
  for_row_panels(x.rows(), 2 * x.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      add_to(x.row(r), y.row(r), x.cols());
      if (bias != nullptr) add_to(bias, y.row(r), x.cols());
    }
  });
}

// `dy` has the joined gradients of the outputs of several linear layers with the same inputs. Passes its part to the
// observer for each of them.
void observe(std::initializer_list<const Linear*> linears, std::span<const SequenceRows> sequences,
             MatrixView<const float> x, MatrixView<const float> w, MatrixView<const float> dy,
             GradientObserver& observer, VectorGradients& vectors) {
  size_t col = 0;
  for (const Linear* l : linears) {
    if (l->tensor.empty()) continue;
    const auto part = dy.sub({0, col, dy.rows(), l->outputs});
    observer.linear({l->tensor, x, w.row_range(col, l->outputs), part, sequences});
    if (!l->bias.empty()) vectors.add_columns(bias_tensor(*l), part);
    col += l->outputs;
  }
}

// Returns the rows of each sequence among the tokens that were sent to an expert.
std::vector<SequenceRows> routed_sequences(std::span<const Routed> routed, std::span<const SequenceRows> sequences) {
  std::vector<SequenceRows> out;
  size_t row = 0;
  for (const SequenceRows& s : sequences) {
    const size_t first = row;
    while (row < routed.size() && routed[row].token < s.row + s.count) ++row;
    if (row != first) out.push_back({first, row - first});
  }
  return out;
}

}  // namespace

void VectorGradients::add(const std::string& tensor, std::span<const double> sums) {
  std::vector<double>& to = sums_[tensor];
  to.resize(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) to[i] += sums[i];
}

void VectorGradients::add_columns(const std::string& tensor, MatrixView<const float> dy) {
  std::vector<double> sums(dy.cols());
  constexpr size_t kCols = 256;
  parallel_for(ceil_div(dy.cols(), kCols), [&](size_t i) {
    const size_t end = std::min(dy.cols(), (i + 1) * kCols);
    for (size_t r = 0; r < dy.rows(); ++r) {
      for (size_t c = i * kCols; c < end; ++c) sums[c] += static_cast<double>(dy(r, c));
    }
  });
  add(tensor, sums);
}

void VectorGradients::flush(GradientObserver& observer) {
  for (const auto& [tensor, sums] : sums_) {
    const std::vector<float> values(sums.begin(), sums.end());
    observer.vector(tensor, values);
  }
  sums_.clear();
}

void norm_backward(const ModelConfig& c, const NormWeights& norm, MatrixView<const float> x, MatrixView<const float> dy,
                   MatrixView<float> dx, VectorGradients& vectors) {
  const size_t n = x.cols(), panels = ceil_div(x.rows(), kRowsOfSum);
  if (norm.weight.empty()) return add_rows(dy, nullptr, dx);
  Matrix<float> dw(panels, n), db(norm.bias.empty() ? 0 : panels, n);
  parallel_for(panels, [&](size_t p) {
    for (size_t r = p * kRowsOfSum; r < std::min(x.rows(), (p + 1) * kRowsOfSum); ++r) {
      norm_backward_row(c.norm == Norm::kRms, c.norm_eps, norm.weight.data(), x.row(r), dy.row(r), dx.row(r), dw.row(p),
                        db.rows() == 0 ? nullptr : db.row(p), n);
    }
  });
  vectors.add_columns(norm.weight_tensor, dw.view());
  if (db.rows() != 0) vectors.add_columns(norm.bias_tensor, db.view());
}

LayerPass::LayerPass(const ModelConfig& c, size_t rows, std::span<const Rotations> rotations)
    : config_(c), rotations_(rotations) {
  const auto make = [&](size_t cols) { return Matrix<float>::uninitialized(rows, cols); };
  for (Matrix<float>* m : {&normed_, &normed_mlp_, &middle_, &out_, &added_, &d_normed_, &d_normed_mlp_})
    *m = make(c.dim);
  for (Matrix<float>* m : {&qkv_, &d_qkv_}) *m = make(qkv_dim(c));
  for (Matrix<float>* m : {&mixed_, &d_mixed_}) *m = make(c.heads * c.head_dim);
  for (Matrix<float>* m : {&narrow_, &d_narrow_}) *m = make(c.ff_dim);
  wide_ = make(2 * c.ff_dim);
  if (c.experts == 0) return;
  for (Matrix<float>* m : {&gathered_, &d_gathered_}) *m = make(c.dim);
  logits_ = make(c.experts);
}

template <typename F>
void LayerPass::for_tokens(const LayerKind& kind, std::span<const SequenceRows> sequences, size_t cost,
                           const F& body) const {
  for (const SequenceRows& s : sequences) {
    const bool is_long = s.count > config_.rope_original_context;
    const size_t table = kind.local_rope ? 2 : is_long ? 1 : 0;
    const Rotations* rotations = rotations_.empty() || !kind.rotates ? nullptr : &rotations_[table];
    for_row_panels(s.count, cost, [&](size_t first, size_t count) {
      for (size_t t = first; t < first + count; ++t) body(s.row + t, t, rotations);
    });
  }
}

void LayerPass::attention(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> x,
                          bool keep_raw) {
  const ModelConfig& c = config_;
  const size_t n = x.rows();
  const MatrixView<float> normed = normed_.view().row_range(0, n), qkv = qkv_.view().row_range(0, n);
  if (c.norms_residual_sums) {
    copy_rows(x, normed);
  } else {
    normalize(c, layer.info.attention_norm, x, normed);
  }
  product(normed, Op::kTranspose, layer.qkv(), qkv);
  const Layer& w = layer.info;
  keep_raw = keep_raw && !w.q_norm.empty();
  if (keep_raw && raw_.size() == 0) raw_ = Matrix<float>::uninitialized(qkv_.rows(), qkv_.cols());
  for_tokens(w.kind, sequences, 4 * qkv.cols(), [&](size_t r, size_t position, const Rotations* rotations) {
    float* row = qkv.row(r);
    if (!w.qkv_bias.empty()) add_to(w.qkv_bias.data(), row, qkv.cols());
    if (keep_raw) std::copy_n(row, qkv.cols(), raw_.row(r));
    finish_heads(c, w, position, rotations != nullptr ? rotations->forth.row(position) : nullptr, row);
  });
  attention_forward(c, w.kind, sequences, qkv, mixed_.view().row_range(0, n));
}

void LayerPass::forward_to_mlp(const DenseLayer& layer, std::span<const SequenceRows> sequences,
                               MatrixView<const float> x, MatrixView<float> middle, bool keep_raw) {
  const Layer& w = layer.info;
  const MatrixView<float> normed = normed_mlp_.view().row_range(0, x.rows()), out = out_.view().row_range(0, x.rows());
  attention(layer, sequences, x, keep_raw);
  if (config_.parallel_residual) normalize(config_, w.mlp_norm, x, normed);
  product(mixed_.view().row_range(0, x.rows()), Op::kTranspose, layer.attention_output(), out);
  if (middle.data() != x.data()) copy_rows(x, middle);
  const Addend addend{out, w.attention_output.bias_data(), &w.attention_post_norm, config_.residual_scale};
  if (config_.parallel_residual) return add_and_normalize(config_, std::array{addend}, {}, middle, {});
  add_and_normalize(config_, std::array{addend}, config_.norms_residual_sums ? w.attention_norm : w.mlp_norm, middle,
                    normed);
}

Routes LayerPass::route(const DenseLayer& layer, MatrixView<const float> in) {
  const MatrixView<float> logits = logits_.view().row_range(0, in.rows());
  product(in, Op::kTranspose, layer.router(), logits);
  return route_tokens(config_, layer.info.router.bias, logits);
}

void LayerPass::mlp_forward(const DenseLayer& layer, size_t mlp, MatrixView<const float> in, MatrixView<float> out) {
  const Mlp& w = layer.info.mlps[mlp];
  const MatrixView<float> wide(wide_.data(), in.rows(), layer.gate_up(mlp).rows());
  product(in, Op::kTranspose, layer.gate_up(mlp), wide);
  activate(config_.activation, w.gated(), w.gate_up_bias.empty() ? nullptr : w.gate_up_bias.data(), wide);
  product(wide.sub({0, 0, in.rows(), config_.ff_dim}), Op::kTranspose, layer.down(mlp), out);
}

void LayerPass::mlp_output(const DenseLayer& layer, MatrixView<const float> in, MatrixView<float> out) {
  if (!layer.info.has_experts()) return mlp_forward(layer, 0, in, out);
  const Routes routes = route(layer, in);
  for (size_t r = 0; r < out.rows(); ++r) std::fill_n(out.row(r), out.cols(), 0.0f);
  for (size_t e = 0; e < routes.size(); ++e) {
    const size_t count = routes[e].size();
    if (count == 0) continue;
    const MatrixView<float> gathered = gathered_.view().row_range(0, count), made = out_.view().row_range(0, count);
    gather_routed(routes[e], in, gathered);
    mlp_forward(layer, e, gathered, made);
    add_routed(routes[e], made, layer.info.mlps[e].down.bias_data(), out);
  }
}

void LayerPass::forward(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<float> x) {
  const ModelConfig& c = config_;
  const Layer& w = layer.info;
  const size_t n = x.rows();
  const auto rows = [&](Matrix<float>& m) { return m.view().row_range(0, n); };
  const MatrixView<const float> normed = rows(normed_mlp_);
  forward_to_mlp(layer, sequences, x, x, false);
  if (c.norms_residual_sums) copy_rows(normed, x);
  mlp_output(layer, normed, rows(added_));
  const Addend addend{rows(added_), w.mlp_output_bias(), &w.mlp_post_norm, c.residual_scale};
  add_and_normalize(c, std::array{addend}, w.mlp_norm, x, c.norms_residual_sums ? x : MatrixView<float>{});
}

template <typename F>
MatrixView<const float> LayerPass::added_gradient(const NormWeights& norm, const float* bias,
                                                  MatrixView<const float> dx, const F& make_outputs,
                                                  VectorGradients& vectors) {
  const size_t n = dx.rows();
  MatrixView<const float> d_normed = dx;
  if (config_.residual_scale != 1) {
    if (d_scaled_.size() == 0) d_scaled_ = Matrix<float>::uninitialized(added_.rows(), added_.cols());
    const MatrixView<float> scaled = d_scaled_.view().row_range(0, n);
    copy_rows(dx, scaled);
    scale_and_cap(config_.residual_scale, 0, scaled);
    d_normed = scaled;
  }
  if (norm.weight.empty()) return d_normed;
  const MatrixView<float> outputs = added_.view().row_range(0, n);
  make_outputs(outputs);
  for (size_t r = 0; r < n && bias != nullptr; ++r) add_to(bias, outputs.row(r), outputs.cols());
  d_added_ = Matrix<float>(n, dx.cols());
  norm_backward(config_, norm, outputs, d_normed, d_added_.view(), vectors);
  return d_added_.view();
}

// Sets d_in to the gradient of the attention's inputs (after their norm). d_out is the gradient of its output. Uses the
// activations that the last call of attention() has left.
void LayerPass::attention_gradient(const DenseLayer& layer, std::span<const SequenceRows> sequences,
                                   MatrixView<const float> d_out, MatrixView<float> d_in, GradientObserver& observer,
                                   VectorGradients& vectors) {
  const ModelConfig& c = config_;
  const Layer& w = layer.info;
  const size_t n = d_out.rows();
  const auto rows = [&](Matrix<float>& m) { return m.view().row_range(0, n); };
  const MatrixView<float> d_qkv = rows(d_qkv_);
  observe({&w.attention_output}, sequences, rows(mixed_), layer.attention_output(), d_out, observer, vectors);
  product(d_out, Op::kNone, layer.attention_output(), rows(d_mixed_));
  attention_backward(c, w.kind, sequences, rows(qkv_), rows(d_mixed_), d_qkv);
  const QkvLayout at(c);
  for_tokens(w.kind, sequences, 2 * d_qkv.cols(), [&](size_t r, size_t position, const Rotations* rotations) {
    const float factor = query_factor(c, position);
    const auto back = [&](float* head) {
      if (rotations != nullptr) rotate_head(c.rope_pairs, rotations->back.row(position), c.rotary_dim / 2, head);
    };
    float* row = d_qkv.row(r);
    for (size_t h = 0; h < c.heads; ++h) {
      back(row + at.q + h * at.q_step);
      if (factor != 1) scale_and_cap_row(factor, 0, row + at.q + h * at.q_step, c.head_dim);
    }
    for (size_t h = 0; h < c.kv_heads; ++h) back(row + at.k + h * at.k_step);
  });
  if (!w.q_norm.empty()) {
    const size_t panels = ceil_div(n, kRowsOfSum);
    const size_t q_norms = c.norms_whole_queries ? 1 : c.heads, k_norms = c.norms_whole_queries ? 1 : c.kv_heads;
    Matrix<float> dq(panels, w.q_norm.size()), dk(panels, w.k_norm.size());
    parallel_for(panels, [&](size_t p) {
      std::vector<float> dx;
      for (size_t r = p * kRowsOfSum; r < std::min(n, (p + 1) * kRowsOfSum); ++r) {
        const auto back = [&](const std::vector<float>& norm, size_t col, float* dw) {
          dx.assign(norm.size(), 0.0f);
          norm_backward_row(true, c.norm_eps, norm.data(), raw_.row(r) + col, d_qkv.row(r) + col, dx.data(), dw,
                            nullptr, norm.size());
          std::copy(dx.begin(), dx.end(), d_qkv.row(r) + col);
        };
        for (size_t h = 0; h < q_norms; ++h) back(w.q_norm, at.q + h * at.q_step, dq.row(p));
        for (size_t h = 0; h < k_norms; ++h) back(w.k_norm, at.k + h * at.k_step, dk.row(p));
      }
    });
    vectors.add_columns(w.q_norm_tensor, dq.view());
    vectors.add_columns(w.k_norm_tensor, dk.view());
  }
  observe({&w.qkv, &w.q, &w.k, &w.v}, sequences, rows(normed_), layer.qkv(), d_qkv, observer, vectors);
  product(d_qkv, Op::kNone, layer.qkv(), d_in);
}

void LayerPass::mlp_inner(const DenseLayer& layer, size_t mlp, MatrixView<const float> in) {
  const Mlp& w = layer.info.mlps[mlp];
  const MatrixView<float> wide(wide_.data(), in.rows(), layer.gate_up(mlp).rows());
  product(in, Op::kTranspose, layer.gate_up(mlp), wide);
  activate_with_derivative(config_.activation, w.gated(), w.gate_up_bias.empty() ? nullptr : w.gate_up_bias.data(),
                           wide, narrow_.view().row_range(0, in.rows()));
}

// Sets d_in to the gradient of the MLP's inputs. d_out is the gradient of its output. Uses what mlp_inner() has left.
void LayerPass::mlp_gradient(const DenseLayer& layer, size_t mlp, std::span<const SequenceRows> sequences,
                             MatrixView<const float> in, MatrixView<const float> d_out, MatrixView<float> d_in,
                             GradientObserver& observer, VectorGradients& vectors) {
  const ModelConfig& c = config_;
  const Mlp& w = layer.info.mlps[mlp];
  const size_t n = d_out.rows();
  const bool gated = w.gated();
  const auto rows = [&](Matrix<float>& m) { return m.view().row_range(0, n); };
  const MatrixView<float> wide(wide_.data(), n, layer.gate_up(mlp).rows());
  observe({&w.down}, sequences, rows(narrow_), layer.down(mlp), d_out, observer, vectors);
  product(d_out, Op::kNone, layer.down(mlp), rows(d_narrow_));
  for_row_panels(n, 3 * wide.cols(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      const float* dy = d_narrow_.row(r);
      for (size_t part = 0; part < (gated ? 2u : 1u); ++part) {
        float* factors = wide.row(r) + part * c.ff_dim;
        for (size_t i = 0; i < c.ff_dim; ++i) factors[i] *= dy[i];
      }
    }
  });
  observe({&w.gate_up, &w.gate, &w.up}, sequences, in, layer.gate_up(mlp), wide, observer, vectors);
  product(wide, Op::kNone, layer.gate_up(mlp), d_in);
}

// Sets d_in to the gradient of the inputs that the router and the experts share. y = sum_e w_e mlp_e(x), so the
// gradient of w_e is dy mlp_e(x), and w is the softmax of the router's logits over the chosen experts or over all.
void LayerPass::experts_gradient(const DenseLayer& layer, std::span<const SequenceRows> sequences,
                                 MatrixView<const float> in, MatrixView<const float> d_out, MatrixView<float> d_in,
                                 GradientObserver& observer, VectorGradients& vectors) {
  const ModelConfig& c = config_;
  const size_t n = in.rows();
  const Routes routes = route(layer, in);
  Matrix<float> p(n, c.experts), dp(n, c.experts);
  for (size_t r = 0; r < n; ++r) {
    std::fill_n(d_in.row(r), d_in.cols(), 0.0f);
    if (c.normalized_experts) continue;
    std::copy_n(logits_.row(r), c.experts, p.row(r));
    softmax_row(1, p.row(r), c.experts);
  }
  for (size_t e = 0; e < routes.size(); ++e) {
    const std::span<const Routed> routed = routes[e];
    if (routed.empty()) continue;
    const auto rows = [&](Matrix<float>& m) { return m.view().row_range(0, routed.size()); };
    gather_routed(routed, in, rows(gathered_));
    gather_routed(routed, d_out, rows(d_gathered_));
    mlp_inner(layer, e, rows(gathered_));
    product(rows(narrow_), Op::kTranspose, layer.down(e), rows(out_));
    const float* bias = layer.info.mlps[e].down.bias_data();
    for (size_t i = 0; i < routed.size(); ++i) {
      float* dy = d_gathered_.row(i);
      double sum = 0;
      for (size_t k = 0; k < c.dim; ++k) {
        sum += double{dy[k]} * double{out_(i, k) + (bias != nullptr ? bias[k] : 0)};
        dy[k] *= routed[i].weight;
      }
      dp(routed[i].token, e) = static_cast<float>(sum);
      if (c.normalized_experts) p(routed[i].token, e) = routed[i].weight;
    }
    mlp_gradient(layer, e, routed_sequences(routed, sequences), rows(gathered_), rows(d_gathered_), rows(out_),
                 observer, vectors);
    for (size_t i = 0; i < routed.size(); ++i) add_to(out_.row(i), d_in.row(routed[i].token), c.dim);
  }
  for (size_t r = 0; r < n; ++r) softmax_backward_row(1, p.row(r), dp.row(r), c.experts);
  observe({&layer.info.router}, sequences, in, layer.router(), dp.view(), observer, vectors);
  product(dp.view(), Op::kNone, layer.router(), out_.view().row_range(0, n));
  add_rows(out_.view().row_range(0, n), nullptr, d_in);
}

void LayerPass::backward(const DenseLayer& layer, std::span<const SequenceRows> sequences, MatrixView<const float> x,
                         MatrixView<float> dx, GradientObserver& observer, VectorGradients& vectors) {
  const ModelConfig& c = config_;
  const Layer& w = layer.info;
  const size_t n = x.rows();
  const auto rows = [&](Matrix<float>& m) { return m.view().row_range(0, n); };
  if (c.norms_residual_sums) return backward_of_sums(layer, sequences, x, dx, observer, vectors);
  forward_to_mlp(layer, sequences, x, rows(middle_), true);
  const MatrixView<const float> before_mlp = c.parallel_residual ? x : rows(middle_);
  const auto d_mlp = added_gradient(
      w.mlp_post_norm, w.mlp_output_bias(), dx, [&](auto out) { mlp_output(layer, rows(normed_mlp_), out); }, vectors);
  if (w.has_experts()) {
    experts_gradient(layer, sequences, rows(normed_mlp_), d_mlp, rows(d_normed_mlp_), observer, vectors);
  } else {
    mlp_inner(layer, 0, rows(normed_mlp_));
    mlp_gradient(layer, 0, sequences, rows(normed_mlp_), d_mlp, rows(d_normed_mlp_), observer, vectors);
  }
  // With parallel residuals, the gradient of the attention's output is that of the layer's output.
  if (!c.parallel_residual) norm_backward(c, w.mlp_norm, before_mlp, rows(d_normed_mlp_), dx, vectors);
  const auto d_attention = added_gradient(
      w.attention_post_norm, w.attention_output.bias_data(), dx,
      [&](auto out) { product(rows(mixed_), Op::kTranspose, layer.attention_output(), out); }, vectors);
  attention_gradient(layer, sequences, d_attention, rows(d_normed_), observer, vectors);
  if (c.parallel_residual) norm_backward(c, w.mlp_norm, before_mlp, rows(d_normed_mlp_), dx, vectors);
  norm_backward(c, w.attention_norm, x, rows(d_normed_), dx, vectors);
}

// With norms_residual_sums: middle = x + attention(x), n = norm(middle), last = n + mlp(n), and
// the output is norm(last).
void LayerPass::backward_of_sums(const DenseLayer& layer, std::span<const SequenceRows> sequences,
                                 MatrixView<const float> x, MatrixView<float> dx, GradientObserver& observer,
                                 VectorGradients& vectors) {
  const ModelConfig& c = config_;
  const Layer& w = layer.info;
  const size_t n = x.rows();
  const auto rows = [&](Matrix<float>& m) { return m.view().row_range(0, n); };
  const auto clear = [](MatrixView<float> m) {
    for (size_t r = 0; r < m.rows(); ++r) std::fill_n(m.row(r), m.cols(), 0.0f);
  };
  const MatrixView<float> middle = rows(middle_), last = rows(out_), d_last = rows(d_normed_mlp_);
  forward_to_mlp(layer, sequences, x, middle, true);
  mlp_inner(layer, 0, rows(normed_mlp_));
  product(rows(narrow_), Op::kTranspose, layer.down(0), last);
  add_rows(rows(normed_mlp_), w.mlp_output_bias(), last);
  clear(d_last);
  norm_backward(c, w.mlp_norm, last, dx, d_last, vectors);
  mlp_gradient(layer, 0, sequences, rows(normed_mlp_), d_last, rows(d_normed_), observer, vectors);
  add_rows(rows(d_normed_), nullptr, d_last);
  clear(dx);
  norm_backward(c, w.attention_norm, middle, d_last, dx, vectors);
  attention_gradient(layer, sequences, dx, rows(d_normed_), observer, vectors);
  add_rows(rows(d_normed_), nullptr, dx);
}

}  // namespace occ
