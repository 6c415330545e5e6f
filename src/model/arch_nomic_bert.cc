// Nomic-BERT (Nussbaum et al. 2024, arXiv 2402.01613) is BERT with rotary positions, a gated MLP and no biases. Its
// config.json has the keys of GPT-2 (n_embd, ...) or, as transformers writes them, those of BERT.
#include "model/architectures.h"

namespace occ {
namespace {

void set_nomic_bert_choices(ModelConfig& config) {
  config.encoder = config.norms_residual_sums = true;
  config.causal = false;
  config.norm = Norm::kLayer;
  config.qkv_bias = config.attention_output_bias = config.mlp_bias = false;
}

void read_nomic_bert_hf(const ConfigKeys& keys, ModelConfig& config) {
  const bool as_gpt = keys.has("n_embd");
  config.vocab_size = keys.size("vocab_size");
  config.dim = keys.size(as_gpt ? "n_embd" : "hidden_size");
  config.layers = keys.size(as_gpt ? "n_layer" : "num_hidden_layers");
  config.ff_dim = keys.size(as_gpt ? "n_inner" : "intermediate_size");
  const std::string heads = as_gpt ? "n_head" : "num_attention_heads";
  read_heads(keys, heads, heads, "head_dim", config);
  config.max_context = keys.size_or(as_gpt ? "n_positions" : "max_position_embeddings", 2048);
  config.norm_eps = keys.number_or(as_gpt ? "layer_norm_epsilon" : "layer_norm_eps", 1e-12f, 0, 1);
  if (as_gpt) {
    if (keys.text_or("activation_function", "swiglu") != "swiglu") keys.fail("activation_function", "swiglu");
    for (const char* key : {"prenorm", "causal", "rotary_emb_interleaved", "qkv_proj_bias", "mlp_fc1_bias",
                            "use_rms_norm", "parallel_block"}) {
      if (keys.flag_or(key, false)) keys.fail(key, "false");
    }
    for (const char* key : {"rotary_scaling_factor", "rotary_emb_scale_base"}) {
      if (keys.has(key)) keys.fail(key, "null");
    }
    if (keys.has("moe_every_n_layers") && keys.count("moe_every_n_layers") != 0) {
      keys.fail("moe_every_n_layers", "0 (no experts)");
    }
    config.activation = Activation::kSilu;
  } else {
    config.activation = read_activation(keys, "hidden_act", "silu");
  }
  read_rope_hf(keys, config, as_gpt ? "rotary_emb_base" : "rope_theta", "rotary_emb_fraction");
  set_nomic_bert_choices(config);
}

void read_nomic_bert_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.activation = Activation::kSilu;
  if (keys.flag_or("attention.causal", false)) keys.fail("attention.causal", "false");
  set_nomic_bert_choices(config);
}

}  // namespace

Architecture nomic_bert_architecture() {
  Architecture a;
  a.name = a.gguf_name = "nomic-bert";
  a.hf_classes = {"NomicBertModel", "NomicBertForMaskedLM", "NomicBertForPreTraining",
                  "NomicBertForSequenceClassification"};
  a.model_types = {"nomic_bert"};
  a.hf_prefixes = {"", "bert.", "nomic_bert."};
  TensorNames& hf = a.hf_names;
  hf.token_embedding = "embeddings.word_embeddings";
  hf.token_type_embedding = "embeddings.token_type_embeddings";
  hf.embedding_norm = "emb_ln";
  hf.qkv = "encoder.layers.#.attn.Wqkv";
  hf.attention_output = "encoder.layers.#.attn.out_proj";
  hf.attention_norm = "encoder.layers.#.norm1";
  hf.up = "encoder.layers.#.mlp.fc11";
  hf.gate = "encoder.layers.#.mlp.fc12";
  hf.down = "encoder.layers.#.mlp.fc2";
  hf.mlp_norm = "encoder.layers.#.norm2";
  TensorNames& gguf = a.gguf_names;
  gguf = bert_gguf_names();
  gguf.position_embedding = "";
  gguf.q = gguf.k = gguf.v = "";
  gguf.qkv = "blk.#.attn_qkv";
  gguf.gate = "blk.#.ffn_gate";
  a.read_hf = read_nomic_bert_hf;
  a.read_gguf = read_nomic_bert_gguf;
  return a;
}

}  // namespace occ
