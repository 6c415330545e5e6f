// The attention and the MLP of one layer, shared by causal models and encoders.
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
  // Cosines and sines of every row's position.
  Matrix<float> rotations;

 private:
  Matrix<float> qkv_, mixed_, wide_;
};

// mixed [rows, heads * head_dim] = attention(x), the input of the output projection. Adds keys and values to the
// caches; their lengths are the caller's. `layer` is the number that the caches know it by.
void mix_tokens(const ModelConfig& config, const Layer& weights, size_t layer, std::span<const Segment> segments,
                MatrixView<const float> x, MatrixView<float> mixed, BlockBuffers& buffers,
                const TransformerOptions& options);

// y [rows, dim] = o(attention(x)), without the bias of o.
void run_attention(const ModelConfig& config, const Layer& weights, size_t layer, std::span<const Segment> segments,
                   MatrixView<const float> x, MatrixView<float> y, BlockBuffers& buffers,
                   const TransformerOptions& options);

// The input of `down` [rows, ff_dim], in `buffers`.
MatrixView<float> activated(const ModelConfig& config, const Mlp& weights, MatrixView<const float> x,
                            BlockBuffers& buffers, const TransformerOptions& options);

// y [rows, dim] = down(activation(...)), without the bias of down; or what the experts make of it, biases included.
void run_mlp(const ModelConfig& config, const Layer& weights, MatrixView<const float> x, MatrixView<float> y,
             BlockBuffers& buffers, const TransformerOptions& options);

}  // namespace occ
