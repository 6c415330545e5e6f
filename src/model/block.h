// One layer of a transformer as inference runs it, for causal models and encoders. Calibration calls the steps of a
// layer one by one to see the activations between them (calibration/prefix.h). Gradients need every intermediate value
// as dense floats, so they have a forward pass of their own (calibration/layer_pass.h), which shares finish_heads.
#pragma once

#include <span>
#include <vector>

#include "model/plain_kv_cache.h"
#include "model/rope.h"
#include "model/weights.h"

namespace occ {

// Consecutive tokens of one sequence. They are rows [row, row + count) of the activations and take positions
// [position, position + count) of the cache.
struct Segment {
  size_t row = 0, count = 0, position = 0;
  PlainKvCache* cache = nullptr;
};

// Width of the joined outputs of q, k and v.
inline size_t qkv_dim(const ModelConfig& c) { return (c.heads + 2 * c.kv_heads) * c.head_dim; }

// Where the heads of queries, keys and values are in a row of the joined outputs, as offsets in floats: query head h
// begins at q + h * q_step, and so on.
struct QkvLayout {
  size_t q = 0, q_step, k, k_step, v, v_step;
  explicit QkvLayout(const ModelConfig& c) : q_step(c.head_dim), k_step(c.head_dim), v_step(c.head_dim) {
    if (c.qkv_by_head) {
      q_step = k_step = v_step = 3 * c.head_dim;
      k = c.head_dim;
      v = 2 * c.head_dim;
    } else {
      k = c.heads * c.head_dim;
      v = k + c.kv_heads * c.head_dim;
    }
  }
};

// Buffers for up to `rows` tokens. All layers use the same ones, one after the other.
class BlockBuffers {
 public:
  BlockBuffers(const ModelConfig& config, size_t rows);
  // Joined outputs of q, k and v [rows, qkv_dim].
  MatrixView<float> qkv(size_t rows) { return qkv_.view().row_range(0, rows); }
  // Results of all attention heads [rows, heads * head_dim].
  MatrixView<float> mixed(size_t rows) { return mixed_.view().row_range(0, rows); }
  // Inside of the MLP [rows, 2 * ff_dim].
  MatrixView<float> wide(size_t rows) { return wide_.view().row_range(0, rows); }
  // Outputs of the MLP [rows, dim].
  MatrixView<float> output(size_t rows) { return output_.view().row_range(0, rows); }
  // Outputs of the attention [rows, dim].
  MatrixView<float> attended(size_t rows) { return attended_.view().row_range(0, rows); }
  // Cosines and sines of the position of every row [rows, rotary_dim] (Rope::table_row), and those of layers with
  // LayerKind::local_rope; empty if the model has none.
  Matrix<float> rotations, local_rotations;
  // Those of a row in a layer; null if it does not rotate.
  const float* rotation(const LayerKind& kind, size_t row) const {
    const Matrix<float>& table = kind.local_rope ? local_rotations : rotations;
    return kind.rotates && table.size() != 0 ? table.row(row) : nullptr;
  }

 private:
  Matrix<float> qkv_, mixed_, wide_, output_, attended_;
};

// The factor of queries at a position (ModelConfig::query_growth).
float query_factor(const ModelConfig& config, size_t position);

// Applies the norms of queries and keys (if the model has them), the rotation and query_factor to the queries and keys of
// one token at `position`. `row` is the token's row of the joined outputs [qkv_dim], to which the bias has been added
// already. rotation: cosines and sines of the position [rotary_dim], or null if the layer does not rotate.
void finish_heads(const ModelConfig& config, const Layer& weights, size_t position, const float* rotation, float* row);

// Computes mixed [rows, heads * head_dim], the input of the attention's output projection, from x [rows, dim]. Writes
// the new keys and values to the caches, but the caller has to set the lengths of the caches. `layer` is the number of
// the layer in the caches.
void mix_tokens(const ModelConfig& config, const Layer& weights, size_t layer, std::span<const Segment> segments,
                MatrixView<const float> x, MatrixView<float> mixed, BlockBuffers& buffers,
                const TransformerOptions& options);

// Computes the input of the MLP's down projection [rows, ff_dim] from x [rows, dim]. The result lies in `buffers`.
MatrixView<float> activated(const ModelConfig& config, const Mlp& weights, MatrixView<const float> x,
                            BlockBuffers& buffers, const TransformerOptions& options);

// Runs one layer. x [rows, dim] is the residual stream. normed [rows, dim] is the layer's input, and after the call
// that of the next layer. `next` is the first norm of the next layer, or the final norm. With norms_residual_sums the
// residual stream itself is normalised; then `normed` must be x, and `next` is not used.
void run_layer(const ModelConfig& config, const Layer& weights, size_t layer, std::span<const Segment> segments,
               const NormWeights& next, MatrixView<float> x, MatrixView<float> normed, BlockBuffers& buffers,
               const TransformerOptions& options);

}  // namespace occ
