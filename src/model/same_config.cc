#include "model/same_config.h"

#include <cmath>

#include "base/error.h"

namespace occ {

void check_same(const TensorFile& file, const ModelConfig& from, const ModelConfig& to, const std::string& where) {
  const auto check = [&](bool same, const char* what) {
    if (!same) throw_input("{}: its configuration ({}) cannot be expressed in {}", file.path(), what, where);
  };
  const auto near = [](float a, float b) { return std::abs(a - b) <= 1e-5f * std::abs(b); };
  check(from.activation == to.activation, "activation");
  check(from.norm == to.norm && from.norms_whole_queries == to.norms_whole_queries, "norms");
  check(from.heads == to.heads && from.kv_heads == to.kv_heads && from.head_dim == to.head_dim, "sizes of heads");
  check(from.rotary_dim == to.rotary_dim && near(from.rope_theta, to.rope_theta), "rotary positions");
  check(from.parallel_residual == to.parallel_residual, "residual stream");
  check(near(from.embedding_scale, to.embedding_scale) && near(from.residual_scale, to.residual_scale) &&
            near(from.logit_scale, to.logit_scale) && near(from.score_scale(), to.score_scale()) &&
            near(from.query_growth, to.query_growth),
        "factors of embeddings, scores, residuals or logits");
  check(near(from.attention_softcap, to.attention_softcap) && near(from.logit_softcap, to.logit_softcap), "soft caps");
  bool local = false;
  for (size_t i = 0; i < from.layers; ++i) {
    check(from.layer_kind(i) == to.layer_kind(i), "sliding windows or rotary positions of the layers");
    local |= from.layer_kind(i).local_rope;
  }
  check(!local || near(from.rope_local_theta, to.rope_local_theta), "rotary positions of layers with a window");
}

}  // namespace occ
