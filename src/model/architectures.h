// Descriptions of architectures: how a configuration is read and what the tensors are called. A description is one file
// arch_<name>.cc and one line in architectures.cc; the blocks themselves are shared (transformer.cc, encoder.cc), so a
// new Llama-like model needs no other code.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/config_keys.h"

namespace occ {

// Names without ".weight" and ".bias"; '#' stands for the number of the layer, '@' for that of the expert. Empty: the
// model has no such part.
struct TensorNames {
  std::string token_embedding, position_embedding, token_type_embedding, embedding_norm;
  std::string final_norm;
  std::string head;            // without the prefix of the others; not there if embeddings are tied
  std::string attention_norm;  // before attention; of encoders: after it
  std::string q, k, v;         // or all rows in one:
  std::string qkv;
  std::string q_norm, k_norm;  // RMS norms of every head
  std::string attention_output;
  std::string mlp_norm;  // before the MLP; of encoders: after it
  std::string gate, up;  // down(activation(gate) * up), without `gate` down(activation(up)); or both in one:
  std::string gate_up;
  std::string down;
  std::string router;  // of experts; `gate`, `up` and `down` are theirs then
};

struct Architecture {
  std::string name;                      // also general.architecture of GGUF
  std::vector<std::string> hf_classes;   // of `architectures` in config.json; the first is shown to people
  std::vector<std::string> model_types;  // model_type of config.json, where it has no `architectures`
  std::vector<std::string> hf_prefixes;  // of all names but the head's; the first that is in the file counts
  TensorNames hf_names;
  TensorNames gguf_names;
  void (*read_hf)(const ConfigKeys& keys, ModelConfig& config) = nullptr;
  void (*read_gguf)(const ConfigKeys& keys, ModelConfig& config) = nullptr;  // after read_gguf_sizes
};

std::span<const Architecture> architectures();
const Architecture& find_architecture(const std::string& name);  // of ModelConfig; must exist
// The first of hf_prefixes that the file's names have.
std::string hf_prefix(const TensorFile& file, const Architecture& a);
// A pattern of TensorNames with the layer's number for its '#' and the expert's for its '@'.
std::string name_in_layer(std::string pattern, const std::string& layer, const std::string& expert = "");
std::string architecture_list();  // for error messages

// What several descriptions share.
TensorNames llama_hf_names();
TensorNames llama_gguf_names();
void read_llama_hf(const ConfigKeys& keys, ModelConfig& config);
// num_local_experts or num_experts, num_experts_per_tok.
void read_experts_hf(const ConfigKeys& keys, ModelConfig& config);
void read_gguf_sizes(const ConfigKeys& keys, ModelConfig& config);
// use_sliding_window, sliding_window, max_window_layers, layer_types as Qwen has them.
void read_layer_windows(const ConfigKeys& keys, ModelConfig& config);
// rope_theta, rope_scaling or rope_parameters, partial_rotary_factor; needs head_dim and max_context.
void read_rope_hf(const ConfigKeys& keys, ModelConfig& config, const std::string& theta_key = "rope_theta",
                  const std::string& partial_key = "partial_rotary_factor", float default_partial = 1);
void read_rope_gguf(const ConfigKeys& keys, ModelConfig& config);
Activation read_activation(const ConfigKeys& keys, const std::string& key, const std::string& fallback);
// keys.size(key) heads, and dim divisible by them unless `head_dim_key` is there.
void read_heads(const ConfigKeys& keys, const std::string& heads_key, const std::string& kv_heads_key,
                const std::string& head_dim_key, ModelConfig& config);

}  // namespace occ
