// GPT-2 (Radford et al. 2019) has learned positions, layer norms, one weight for q, k and v, and an MLP without gate.
// In Hugging Face's files its linear layers are of the class Conv1D, whose weights are stored as [in, out]. In GGUF
// they are [out, in], as for all other models.
#include "model/architectures.h"

namespace occ {
namespace {

void set_gpt2_choices(ModelConfig& config) {
  config.norm = Norm::kLayer;
  config.position = Position::kLearned;
  config.qkv_bias = config.attention_output_bias = config.mlp_bias = true;
}

void read_gpt2_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.vocab_size = keys.size("vocab_size");
  config.dim = keys.size("n_embd");
  config.layers = keys.size("n_layer");
  config.ff_dim = keys.size_or("n_inner", 4 * config.dim);
  read_heads(keys, "n_head", "n_head", "head_dim", config);
  config.max_context = keys.size_or("n_positions", 1024);
  config.norm_eps = keys.number_or("layer_norm_epsilon", 1e-5f, 0, 1);
  config.activation = read_activation(keys, "activation_function", "gelu_new");
  if (!keys.flag_or("scale_attn_weights", true)) keys.fail("scale_attn_weights", "true");
  if (keys.flag_or("scale_attn_by_inverse_layer_idx", false)) keys.fail("scale_attn_by_inverse_layer_idx", "false");
  if (keys.flag_or("add_cross_attention", false)) keys.fail("add_cross_attention", "false");
  config.transposed_weights = true;
  set_gpt2_choices(config);
}

void read_gpt2_gguf(const ConfigKeys& /*keys*/, ModelConfig& config) {
  config.activation = Activation::kGeluTanh;
  set_gpt2_choices(config);
}

}  // namespace

Architecture gpt2_architecture() {
  Architecture a;
  a.name = a.gguf_name = "gpt2";
  a.hf_classes = {"GPT2LMHeadModel"};
  a.model_types = {"gpt2"};
  a.hf_prefixes = {"transformer.", ""};
  TensorNames& hf = a.hf_names;
  hf.token_embedding = "wte";
  hf.position_embedding = "wpe";
  hf.final_norm = "ln_f";
  hf.head = "lm_head";
  hf.attention_norm = "h.#.ln_1";
  hf.qkv = "h.#.attn.c_attn";
  hf.attention_output = "h.#.attn.c_proj";
  hf.mlp_norm = "h.#.ln_2";
  hf.up = "h.#.mlp.c_fc";
  hf.down = "h.#.mlp.c_proj";
  TensorNames& gguf = a.gguf_names;
  gguf = llama_gguf_names();
  gguf.position_embedding = "position_embd";
  gguf.q = gguf.k = gguf.v = gguf.gate = "";
  gguf.qkv = "blk.#.attn_qkv";
  a.read_hf = read_gpt2_hf;
  a.read_gguf = read_gpt2_gguf;
  return a;
}

}  // namespace occ
