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
  // Cosines and sines of the position of every row [rows, rotary_dim] (Rope::table_row); empty without rotary
  // positions.
  Matrix<float> rotations;

 private:
  Matrix<float> qkv_, mixed_, wide_, output_, attended_;
};

// Applies the norms of the heads (if the model has them) and the rotation to the queries and keys of one token. `row`
// is the token's row of the joined outputs [qkv_dim], to which the bias has been added already. rotation: cosines and
// sines of the token's position [rotary_dim], or null if the model does not rotate.
void finish_heads(const ModelConfig& config, const Layer& weights, const float* rotation, float* row);

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
// that of the next layer. Causal models normalise what they feed to the attention and to the MLP; `next` is the first
// norm of the next layer, or the final norm. Encoders normalise the residual stream itself; for them `normed` must be
// x, and `next` is not used.
void run_layer(const ModelConfig& config, const Layer& weights, size_t layer, std::span<const Segment> segments,
               const NormWeights& next, MatrixView<float> x, MatrixView<float> normed, BlockBuffers& buffers,
               const TransformerOptions& options);

}  // namespace occ
