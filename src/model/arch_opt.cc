// OPT (Zhang et al. 2022, arXiv 2205.01068) has learned positions, of which the first one is row 2 of the table, layer
// norms before attention and MLP, and an MLP with ReLU and without gate. Not OPT-350m, whose norms are behind them and
// whose embeddings are narrower than the model.
#include "model/architectures.h"

namespace occ {
namespace {

void read_opt_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.vocab_size = keys.size("vocab_size");
  config.dim = keys.size("hidden_size");
  config.layers = keys.size("num_hidden_layers");
  config.ff_dim = keys.size("ffn_dim");
  read_heads(keys, "num_attention_heads", "num_attention_heads", "head_dim", config);
  config.max_context = keys.size_or("max_position_embeddings", 2048);
  config.position = Position::kLearned;
  config.position_offset = 2;
  config.norm = Norm::kLayer;
  config.norm_eps = 1e-5f;
  config.activation = read_activation(keys, "activation_function", "relu");
  config.qkv_bias = config.attention_output_bias = config.mlp_bias = keys.flag_or("enable_bias", true);
  if (!keys.flag_or("do_layer_norm_before", true)) keys.fail("do_layer_norm_before", "true");
  if (keys.flag_or("_remove_final_layer_norm", false)) keys.fail("_remove_final_layer_norm", "false");
  if (!keys.flag_or("layer_norm_elementwise_affine", true)) keys.fail("layer_norm_elementwise_affine", "true");
  if (keys.size_or("word_embed_proj_dim", config.dim) != config.dim) {
    keys.fail("word_embed_proj_dim", fmt::format("hidden_size, {}", config.dim));
  }
}

}  // namespace

Architecture opt_architecture() {
  Architecture a;
  a.name = "opt";
  a.hf_classes = {"OPTForCausalLM"};
  a.model_types = {"opt"};
  a.hf_prefixes = {"model.decoder.", "decoder."};
  TensorNames& hf = a.hf_names;
  hf = llama_hf_names();
  hf.position_embedding = "embed_positions";
  hf.final_norm = "final_layer_norm";
  hf.attention_norm = "layers.#.self_attn_layer_norm";
  hf.attention_output = "layers.#.self_attn.out_proj";
  hf.mlp_norm = "layers.#.final_layer_norm";
  hf.gate = "";
  hf.up = "layers.#.fc1";
  hf.down = "layers.#.fc2";
  a.read_hf = read_opt_hf;
  return a;
}

}  // namespace occ
