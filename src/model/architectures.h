// Descriptions of architectures. A description says how the configuration of a model family is read and what its
// tensors are called. It consists of one file arch_<name>.cc and one line in architectures.cc. The code that computes
// the layers is shared by all (block.cc, transformer.cc, bert_encoder.cc), so a new Llama-like model needs no other
// code.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/config_keys.h"

namespace occ {

// Names of tensors without ".weight" and ".bias". '#' stands for the number of the layer and '@' for the number of the
// expert. An empty name means that the model has no such part.
struct TensorNames {
  std::string token_embedding, position_embedding, token_type_embedding, embedding_norm;
  std::string final_norm;
  std::string head;            // has no prefix (hf_prefixes); may be missing from the file if embeddings are tied
  std::string attention_norm;  // before the attention; in encoders after it
  std::string q, k, v;         // or one tensor with the rows of all three:
  std::string qkv;
  std::string q_norm, k_norm;  // RMS norms that are applied to every head
  std::string attention_output;
  std::string mlp_norm;  // before the MLP; in encoders after it
  // The MLP is down(activation(gate) * up), or down(activation(up)) without `gate`. Either two tensors:
  std::string gate, up;
  // or one tensor with the rows of both:
  std::string gate_up;
  std::string down;
  std::string router;  // of a mixture of experts; then `gate`, `up` and `down` name the experts' tensors
};

struct Architecture {
  std::string name;                      // of this description; also general.architecture of GGUF if read_gguf is set
  std::vector<std::string> hf_classes;   // values of `architectures` in config.json; messages show the first
  std::vector<std::string> model_types;  // values of `model_type`, for a config.json without `architectures`
  std::vector<std::string> hf_prefixes;  // possible prefixes of all names but the head's
  TensorNames hf_names;
  TensorNames gguf_names;
  void (*read_hf)(const ConfigKeys& keys, ModelConfig& config) = nullptr;
  // Called after read_gguf_sizes. Null: GGUF has no architecture of this name (Mistral is "llama" there), or its files
  // cannot be read.
  void (*read_gguf)(const ConfigKeys& keys, ModelConfig& config) = nullptr;
};

std::span<const Architecture> architectures();
// The description called `name` (ModelConfig::architecture), which must exist.
const Architecture& find_architecture(const std::string& name);
// The first of a.hf_prefixes with which the file has a token embedding; the first of all if there is none.
std::string hf_prefix(const TensorFile& file, const Architecture& a);
// Replaces '#' in a pattern of TensorNames by the layer's number and '@' by the expert's.
std::string name_in_layer(std::string pattern, const std::string& layer, const std::string& expert = "");
// All supported classes (hf_classes), separated by commas, for error messages.
std::string architecture_list();

// What several descriptions share. The functions that read keys throw an input error that names the key.
TensorNames llama_hf_names();
TensorNames llama_gguf_names();
void read_llama_hf(const ConfigKeys& keys, ModelConfig& config);
TensorNames bert_hf_names();
TensorNames bert_gguf_names();
void read_bert_hf(const ConfigKeys& keys, ModelConfig& config);
void read_bert_gguf(const ConfigKeys& keys, ModelConfig& config);
// Reads num_local_experts or num_experts, and num_experts_per_tok.
void read_experts_hf(const ConfigKeys& keys, ModelConfig& config);
// Reads what every GGUF has: width, layers, heads, MLP width, context length, kind and epsilon of the norm.
void read_gguf_sizes(const ConfigKeys& keys, ModelConfig& config);
// Reads which layers have a sliding window, from Qwen's keys use_sliding_window, sliding_window, max_window_layers and
// layer_types.
void read_layer_windows(const ConfigKeys& keys, ModelConfig& config);
// Reads the rotary positions: rope_theta, partial_rotary_factor and rope_scaling or rope_parameters. head_dim and
// max_context of `config` must be set before.
void read_rope_hf(const ConfigKeys& keys, ModelConfig& config, const std::string& theta_key = "rope_theta",
                  const std::string& partial_key = "partial_rotary_factor", float default_partial = 1);
void read_rope_gguf(const ConfigKeys& keys, ModelConfig& config);
Activation read_activation(const ConfigKeys& keys, const std::string& key, const std::string& fallback);
// Reads the numbers of query heads and of key and value heads, and the size of a head, which is dim / heads if
// `head_dim_key` is missing. config.dim must be set before.
void read_heads(const ConfigKeys& keys, const std::string& heads_key, const std::string& kv_heads_key,
                const std::string& head_dim_key, ModelConfig& config);

}  // namespace occ
