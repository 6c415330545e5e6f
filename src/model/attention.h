// softmax(q K^T / sqrt(head_dim)) V for a panel of tokens and the query heads that share a key head, in blocks of 64
// positions with a running maximum (Milakov & Gimelshein 2018; Dao et al. 2022), scores in f32. Every key and value is
// loaded once for up to four rows (token, head). The result of a row does not depend on the other rows of the panel.
#pragma once

#include <cstddef>

#include "model/plain_kv_cache.h"

namespace occ {

struct AttentionPanel {
  // Query of token t and head g of the group at q + t * q_token_step + g * q_head_step, [head_dim]; result at
  // out + t * out_token_step + g * head_dim.
  const float* q = nullptr;
  size_t q_token_step = 0, q_head_step = 0;
  float* out = nullptr;
  size_t out_token_step = 0;
  size_t tokens = 0, group = 0, head_dim = 0;
  float scale = 1;
  size_t first = 0;    // position of the first token
  size_t length = 0;   // positions in the cache, those of the panel's tokens included
  bool causal = true;  // a token sees no later ones
  size_t window = 0;   // and only this many, itself included; 0: all
  CachedHead cache;
  bool half = false;
};

void attend(const AttentionPanel& panel);

}  // namespace occ
