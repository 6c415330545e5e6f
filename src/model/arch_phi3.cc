// Phi-3 (Abdin et al. 2024, arXiv 2404.14219) is Llama with one weight for q, k and v and one weight for gate and up.
// Variants for long contexts use longrope.
#include "model/architectures.h"

namespace occ {
namespace {

void read_phi3_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_llama_hf(keys, config);
  if (keys.has("sliding_window")) set_windows(config, keys.size("sliding_window"));
}

void read_phi3_gguf(const ConfigKeys& keys, ModelConfig& config) { read_layer_types_gguf(keys, config, 1); }

}  // namespace

Architecture phi3_architecture() {
  Architecture a;
  a.name = a.gguf_name = "phi3";
  a.hf_classes = {"Phi3ForCausalLM"};
  a.model_types = {"phi3"};
  a.hf_prefixes = {"model.", ""};
  a.hf_names = llama_hf_names();
  a.gguf_names = llama_gguf_names();
  for (TensorNames* n : {&a.hf_names, &a.gguf_names}) n->q = n->k = n->v = n->gate = n->up = "";
  a.hf_names.qkv = "layers.#.self_attn.qkv_proj";
  a.hf_names.gate_up = "layers.#.mlp.gate_up_proj";
  a.gguf_names.qkv = "blk.#.attn_qkv";
  a.gguf_names.gate_up = "blk.#.ffn_up";
  a.read_hf = read_phi3_hf;
  a.read_gguf = read_phi3_gguf;
  return a;
}

}  // namespace occ
