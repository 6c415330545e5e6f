// BERT (Devlin et al. 2019, arXiv 1810.04805) as an encoder of texts (Reimers & Gurevych 2019, arXiv 1908.10084).
// Attention works in both directions, norms follow the residual additions, and positions are learned. BERT also has an
// embedding of token types; all tokens have type 0 here.
#include "model/architectures.h"

namespace occ {
namespace {

void set_bert_choices(ModelConfig& config) {
  config.encoder = config.norms_residual_sums = true;
  config.causal = false;
  config.norm = Norm::kLayer;
  config.position = Position::kLearned;
  config.qkv_bias = config.attention_output_bias = config.mlp_bias = true;
}

}  // namespace

void read_bert_hf(const ConfigKeys& keys, ModelConfig& config) {
  config.vocab_size = keys.size("vocab_size");
  config.dim = keys.size("hidden_size");
  config.layers = keys.size("num_hidden_layers");
  config.ff_dim = keys.size("intermediate_size");
  read_heads(keys, "num_attention_heads", "num_attention_heads", "head_dim", config);
  config.max_context = keys.size_or("max_position_embeddings", 512);
  config.norm_eps = keys.number_or("layer_norm_eps", 1e-12f, 0, 1);
  config.activation = read_activation(keys, "hidden_act", "gelu");
  if (keys.text_or("position_embedding_type", "absolute") != "absolute") {
    keys.fail("position_embedding_type", "absolute");
  }
  if (keys.flag_or("is_decoder", false)) keys.fail("is_decoder", "false");
  set_bert_choices(config);
}

void read_bert_gguf(const ConfigKeys& keys, ModelConfig& config) {
  config.activation = Activation::kGelu;
  if (keys.flag_or("attention.causal", false)) keys.fail("attention.causal", "false");
  set_bert_choices(config);
}

TensorNames bert_hf_names() {
  TensorNames hf;
  hf.token_embedding = "embeddings.word_embeddings";
  hf.position_embedding = "embeddings.position_embeddings";
  hf.token_type_embedding = "embeddings.token_type_embeddings";
  hf.embedding_norm = "embeddings.LayerNorm";
  hf.q = "encoder.layer.#.attention.self.query";
  hf.k = "encoder.layer.#.attention.self.key";
  hf.v = "encoder.layer.#.attention.self.value";
  hf.attention_output = "encoder.layer.#.attention.output.dense";
  hf.attention_norm = "encoder.layer.#.attention.output.LayerNorm";
  hf.up = "encoder.layer.#.intermediate.dense";
  hf.down = "encoder.layer.#.output.dense";
  hf.mlp_norm = "encoder.layer.#.output.LayerNorm";
  return hf;
}

TensorNames bert_gguf_names() {
  TensorNames gguf = llama_gguf_names();
  gguf.final_norm = gguf.head = gguf.gate = "";
  gguf.position_embedding = "position_embd";
  gguf.token_type_embedding = "token_types";
  gguf.embedding_norm = "token_embd_norm";
  gguf.attention_norm = "blk.#.attn_output_norm";
  gguf.mlp_norm = "blk.#.layer_output_norm";
  return gguf;
}

Architecture bert_architecture() {
  Architecture a;
  a.name = a.gguf_name = "bert";
  a.hf_classes = {"BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification"};
  a.model_types = {"bert"};
  a.hf_prefixes = {"bert.", ""};
  a.hf_names = bert_hf_names();
  a.gguf_names = bert_gguf_names();
  a.read_hf = read_bert_hf;
  a.read_gguf = read_bert_gguf;
  return a;
}

}  // namespace occ
