// One layer of a transformer as inference runs it, for causal models and encoders. Calibration stops between its steps
// (calibration/prefix.h); gradients need every value in between as dense floats and have a forward pass of their own
// (calibration/layer_pass.h), which shares finish_heads.
#pragma once

#include <span>
#include <vector>

#include "model/plain_kv_cache.h"
#include "model/rope.h"
#include "model/weights.h"

namespace occ {

// Consecutive tokens of one sequence: rows [row, row + count) of the activations, positions
// [position, position + count) of the cache.
struct Segment {
  size_t row = 0, count = 0, position = 0;
  PlainKvCache* cache = nullptr;
};

inline size_t qkv_dim(const ModelConfig& c) { return (c.heads + 2 * c.kv_heads) * c.head_dim; }

// Where the heads of queries, keys and values begin in a row of the joined outputs.
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

// Buffers that all layers use, for up to `rows` tokens.
class BlockBuffers {
 public:
  BlockBuffers(const ModelConfig& config, size_t rows);
  MatrixView<float> qkv(size_t rows) { return qkv_.view().row_range(0, rows); }
  MatrixView<float> mixed(size_t rows) { return mixed_.view().row_range(0, rows); }
  MatrixView<float> wide(size_t rows) { return wide_.view().row_range(0, rows); }
  MatrixView<float> output(size_t rows) { return output_.view().row_range(0, rows); }
  // Of the attention, while `output` is that of the MLP.
  MatrixView<float> attended(size_t rows) { return attended_.view().row_range(0, rows); }
  // Cosines and sines of every row's position.
  Matrix<float> rotations;

 private:
  Matrix<float> qkv_, mixed_, wide_, output_, attended_;
};

// Norms and rotation of the queries and keys of one token, in its row of the joined outputs, bias added. rotation:
// cosines and sines of its position, or null.
void finish_heads(const ModelConfig& config, const Layer& weights, const float* rotation, float* row);

// mixed [rows, heads * head_dim] = attention(x), the input of the output projection. Adds keys and values to the
// caches; their lengths are the caller's. `layer` is the number that the caches know it by.
void mix_tokens(const ModelConfig& config, const Layer& weights, size_t layer, std::span<const Segment> segments,
                MatrixView<const float> x, MatrixView<float> mixed, BlockBuffers& buffers,
                const TransformerOptions& options);

// The input of `down` [rows, ff_dim], in `buffers`.
MatrixView<float> activated(const ModelConfig& config, const Mlp& weights, MatrixView<const float> x,
                            BlockBuffers& buffers, const TransformerOptions& options);

// One layer. x [rows, dim]: residual stream; normed [rows, dim]: the layer's input, and then that of the next one.
// Causal models normalise what they feed to the attention and to the MLP, and `next` is the norm of the next layer or
// the final one. Encoders normalise the residual stream itself (`normed` is x then, `next` is not used).
void run_layer(const ModelConfig& config, const Layer& weights, size_t layer, std::span<const Segment> segments,
               const NormWeights& next, MatrixView<float> x, MatrixView<float> normed, BlockBuffers& buffers,
               const TransformerOptions& options);

}  // namespace occ
