#include "calibration/attention_backward.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "calibration/backward_kernels.h"
#include "linalg/linalg.h"
#include "model/block.h"
#include "model/kernels.h"

namespace occ {
namespace {

constexpr size_t kQueries = 128;  // number of queries in a block

// Cuts the tokens of a sequence into blocks of queries, first to last, and calls body(queries of the block, keys that
// at least one of them sees).
class HeadBlocks {
 public:
  HeadBlocks(const ModelConfig& config, const LayerKind& kind, size_t count)
      : window_(kind.window),
        count_(count),
        causal_(config.causal),
        scale_(config.score_scale()),
        cap_(config.attention_softcap) {}

  // What the softmax is taken of, from the products of queries and keys, without scale().
  void cap(MatrixView<float> scores) const {
    for (size_t r = 0; r < scores.rows() && cap_ != 0; ++r)
      scale_and_cap_row(scale_, cap_, scores.row(r), scores.cols());
  }
  float scale() const { return cap_ != 0 ? 1 : scale_; }  // factor inside the softmax
  // Replaces the gradients ds of what cap() made, `capped`, by those of its inputs.
  void cap_backward(MatrixView<const float> capped, MatrixView<float> ds) const {
    for (size_t r = 0; r < ds.rows() && cap_ != 0; ++r) {
      cap_backward_row(scale_, cap_, capped.row(r), ds.row(r), ds.cols());
    }
  }
  bool caps() const { return cap_ != 0; }

  template <typename F>
  void for_each(const F& body) const {
    for (size_t first = 0; first < count_; first += kQueries) {
      const size_t rows = std::min(kQueries, count_ - first), begin = first_key(first);
      body(SequenceRows{first, rows}, SequenceRows{begin, end_key(first + rows - 1) - begin});
    }
  }
  // Returns the range of columns in row `query` of the scores that belong to keys it sees; `begin` is the first key of
  // the block.
  SequenceRows seen(size_t query, size_t begin) const {
    return {first_key(query) - begin, end_key(query) - first_key(query)};
  }
  // Replaces scores [queries, keys] by attention weights, which are 0 where a query does not see a key.
  void softmax(SequenceRows queries, SequenceRows keys, MatrixView<float> scores) const {
    for (size_t r = 0; r < queries.count; ++r) {
      const SequenceRows range = seen(queries.row + r, keys.row);
      float* row = scores.row(r);
      std::fill_n(row, range.row, 0.0f);
      softmax_row(scale(), row + range.row, range.count);
      std::fill(row + range.row + range.count, row + keys.count, 0.0f);
    }
  }

 private:
  size_t first_key(size_t query) const { return window_ == 0 || query < window_ ? 0 : query + 1 - window_; }

  size_t end_key(size_t query) const { return causal_ ? query + 1 : count_; }

  size_t window_, count_;
  bool causal_;
  float scale_, cap_;
};

struct Task {
  SequenceRows rows;
  size_t kv_head;
};

std::vector<Task> tasks_of(const ModelConfig& c, std::span<const SequenceRows> sequences) {
  std::vector<Task> tasks;
  for (const SequenceRows& s : sequences) {
    for (size_t h = 0; h < c.kv_heads; ++h) tasks.push_back({s, h});
  }
  return tasks;
}

}  // namespace

void attention_forward(const ModelConfig& c, const LayerKind& kind, std::span<const SequenceRows> sequences,
                       MatrixView<const float> qkv, MatrixView<float> mixed) {
  const QkvLayout at(c);
  const size_t group = c.heads / c.kv_heads, d = c.head_dim;
  const std::vector<Task> tasks = tasks_of(c, sequences);
  parallel_for(tasks.size(), [&](size_t i) {
    const SequenceRows rows = tasks[i].rows;
    const size_t kv = tasks[i].kv_head;
    const auto k = qkv.sub({rows.row, at.k + kv * at.k_step, rows.count, d});
    const auto v = qkv.sub({rows.row, at.v + kv * at.v_step, rows.count, d});
    const HeadBlocks blocks(c, kind, rows.count);
    Matrix<float> buffer = Matrix<float>::uninitialized(std::min(kQueries, rows.count), rows.count);
    for (size_t h = kv * group; h < (kv + 1) * group; ++h) {
      const auto q = qkv.sub({rows.row, at.q + h * at.q_step, rows.count, d});
      const auto o = mixed.sub({rows.row, h * d, rows.count, d});
      blocks.for_each([&](SequenceRows queries, SequenceRows keys) {
        const MatrixView<float> scores(buffer.data(), queries.count, keys.count);
        gemm(Op::kNone, Op::kTranspose, 1.0f, q.row_range(queries.row, queries.count),
             k.row_range(keys.row, keys.count), 0.0f, scores);
        blocks.cap(scores);
        blocks.softmax(queries, keys, scores);
        gemm(Op::kNone, Op::kNone, 1.0f, scores, v.row_range(keys.row, keys.count), 0.0f,
             o.row_range(queries.row, queries.count));
      });
    }
  });
}

void attention_backward(const ModelConfig& c, const LayerKind& kind, std::span<const SequenceRows> sequences,
                        MatrixView<const float> qkv, MatrixView<const float> d_mixed, MatrixView<float> d_qkv) {
  const QkvLayout at(c);
  const size_t group = c.heads / c.kv_heads, d = c.head_dim;
  const std::vector<Task> tasks = tasks_of(c, sequences);
  parallel_for(tasks.size(), [&](size_t i) {
    const SequenceRows rows = tasks[i].rows;
    const size_t kv = tasks[i].kv_head;
    const Rect k_at{rows.row, at.k + kv * at.k_step, rows.count, d},
        v_at{rows.row, at.v + kv * at.v_step, rows.count, d};
    const auto k = qkv.sub(k_at), v = qkv.sub(v_at);
    const auto dk = d_qkv.sub(k_at), dv = d_qkv.sub(v_at);
    for (size_t r = 0; r < rows.count; ++r) {
      std::fill_n(dk.row(r), d, 0.0f);
      std::fill_n(dv.row(r), d, 0.0f);
    }
    const HeadBlocks blocks(c, kind, rows.count);
    const size_t most = std::min(kQueries, rows.count);
    Matrix<float> weights = Matrix<float>::uninitialized(most, rows.count);
    Matrix<float> slopes = Matrix<float>::uninitialized(most, rows.count);
    Matrix<float> capped_scores = Matrix<float>::uninitialized(blocks.caps() ? most : 0, rows.count);
    for (size_t h = kv * group; h < (kv + 1) * group; ++h) {
      const Rect q_at{rows.row, at.q + h * at.q_step, rows.count, d};
      blocks.for_each([&](SequenceRows queries, SequenceRows keys) {
        const auto q = qkv.sub(q_at).row_range(queries.row, queries.count);
        const auto dq = d_qkv.sub(q_at).row_range(queries.row, queries.count);
        const auto d_out = d_mixed.sub({rows.row + queries.row, h * d, queries.count, d});
        const auto near_k = k.row_range(keys.row, keys.count), near_v = v.row_range(keys.row, keys.count);
        const MatrixView<float> p(weights.data(), queries.count, keys.count);
        const MatrixView<float> ds(slopes.data(), queries.count, keys.count);
        const MatrixView<float> capped(capped_scores.data(), blocks.caps() ? queries.count : 0, keys.count);
        gemm(Op::kNone, Op::kTranspose, 1.0f, q, near_k, 0.0f, p);
        blocks.cap(p);
        for (size_t r = 0; r < capped.rows(); ++r) std::copy_n(p.row(r), keys.count, capped.row(r));
        blocks.softmax(queries, keys, p);
        gemm(Op::kTranspose, Op::kNone, 1.0f, p, d_out, 1.0f, dv.row_range(keys.row, keys.count));
        gemm(Op::kNone, Op::kTranspose, 1.0f, d_out, near_v, 0.0f, ds);
        // Keys that a query does not see have a weight of 0, so the gradient of their scores is 0 as well.
        for (size_t r = 0; r < queries.count; ++r) {
          softmax_backward_row(blocks.scale(), p.row(r), ds.row(r), keys.count);
        }
        blocks.cap_backward(capped, ds);
        gemm(Op::kNone, Op::kNone, 1.0f, ds, near_k, 0.0f, dq);
        gemm(Op::kTranspose, Op::kNone, 1.0f, ds, q, 1.0f, dk.row_range(keys.row, keys.count));
      });
    }
  });
}

}  // namespace occ
