// Attention: softmax(cap(scale q K^T)) V, cap(s) = c tanh(s / c) where the model has a soft cap c, for some consecutive tokens (a panel) and the query heads that share one key head.
// Positions are visited in blocks of 64, and the softmax is computed with a running maximum and sum (Milakov &
// Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). Scores are f32. A row is one token of one
// query head; every key and value is loaded once for up to four rows. The result of a row does not depend on the other
// rows of the panel.
#pragma once

#include <cstddef>

#include "model/plain_kv_cache.h"

namespace occ {

struct AttentionPanel {
  // The query of token t and head g of the group is [head_dim] at q + t * q_token_step + g * q_head_step. Its result is
  // written as [head_dim] to out + t * out_token_step + g * head_dim.
  const float* q = nullptr;
  size_t q_token_step = 0, q_head_step = 0;
  float* out = nullptr;
  size_t out_token_step = 0;
  size_t tokens = 0, group = 0, head_dim = 0;  // group: number of query heads that share the key head
  float scale = 1;                             // factor of the scores, usually 1 / sqrt(head_dim)
  float softcap = 0;                           // 0: none
  size_t first = 0;                            // position of the first token
  size_t length = 0;                           // positions in the cache, including those of the panel's tokens
  bool causal = true;                          // true: a token does not attend to later ones
  size_t window = 0;  // a token attends to the last `window` positions, including its own; 0: to all
  CachedHead cache;   // keys and values of the shared head
  bool half = false;  // keys and values are f16, otherwise f32
};

// Computes the attention of one panel, which must not be empty, on the calling thread.
void attend(const AttentionPanel& panel);

}  // namespace occ
