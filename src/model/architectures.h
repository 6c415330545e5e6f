// Descriptions of architectures. A description says how the configuration of a model family is read and what its
// tensors are called. It consists of one file arch_<name>.cc and one line in architectures.cc. The code that computes
// the layers is shared by all (block.cc, transformer.cc, bert_encoder.cc), so a new Llama-like model needs no other
// code.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
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
  std::string head;  // has no prefix (hf_prefixes); may be missing from the file if embeddings are tied
  // Before the attention, after it (of what it adds), and the same for the MLP. With norms_residual_sums, attention_norm
  // and mlp_norm are those of the sums.
  std::string attention_norm, attention_post_norm, mlp_norm, mlp_post_norm;
  std::string q, k, v;  // or one tensor with the rows of all three:
  std::string qkv;
  std::string q_norm, k_norm;  // RMS norms of queries and keys
  std::string attention_output;
  // The MLP is down(activation(gate) * up), or down(activation(up)) without `gate`. Either two tensors:
  std::string gate, up;
  // or one tensor with the rows of both:
  std::string gate_up;
  std::string down;
  std::string router;  // of a mixture of experts; then `gate`, `up` and `down` name the experts' tensors
};

struct Architecture {
  std::string name;                      // of this description
  std::string gguf_name;                 // general.architecture of GGUF; empty: there are no such files
  std::vector<std::string> hf_classes;   // values of `architectures` in config.json; messages show the first
  std::vector<std::string> model_types;  // values of `model_type`, for a config.json without `architectures`
  std::vector<std::string> hf_prefixes;  // possible prefixes of all names but the head's
  TensorNames hf_names;
  TensorNames gguf_names;
  void (*read_hf)(const ConfigKeys& keys, ModelConfig& config) = nullptr;
  // Called after read_gguf_sizes. Null: another description with the same gguf_name reads the files (Mistral is a "llama"
  // there).
  void (*read_gguf)(const ConfigKeys& keys, ModelConfig& config) = nullptr;
  // What a converted configuration says beyond what all of them say (config_export.cc): adds keys to config.json, and to
  // the metadata of GGUF, with the prefix "<gguf_name>.". Null: nothing.
  void (*write_hf)(const ModelConfig& config, nlohmann::ordered_json& json) = nullptr;
  void (*write_gguf)(const ModelConfig& config, const std::string& prefix, GgufMetadata& metadata) = nullptr;
  // Whether the readers of its GGUF files use all parameters of YaRN. Others take the usual ones for granted.
  bool gguf_full_yarn = false;
  // The values of keys that a `text_config` lacks, as a JSON object: transformers writes only what differs from its
  // defaults there.
  const char* hf_defaults = "{}";
};

std::span<const Architecture> architectures();
// The description called `name` (ModelConfig::architecture), which must exist.
const Architecture& find_architecture(const std::string& name);
// The description that reads GGUF files with this general.architecture; null if there is none.
const Architecture* find_gguf_architecture(const std::string& gguf_name);
// The first of a.hf_prefixes, and of those of the text towers of models of images and text, with which the file has a token
// embedding; the first of all if there is none.
std::string hf_prefix(const TensorFile& file, const Architecture& a);
// The prefix and the tensor of the head, which has none but that of a text tower. `prefix`: hf_prefix.
std::string hf_head_prefix(const std::string& prefix);
std::string hf_head_tensor(const std::string& prefix, const Architecture& a);
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
void read_llama_like_hf(const ConfigKeys& keys, ModelConfig& config, float default_rope_theta);
// Reads num_local_experts or num_experts, and num_experts_per_tok.
void read_experts_hf(const ConfigKeys& keys, ModelConfig& config);
// Reads what every GGUF has: width, layers, heads, MLP width, context length, kind and epsilon of the norm.
void read_gguf_sizes(const ConfigKeys& keys, ModelConfig& config);
// Number of layers, at most 65,536.
size_t read_layers(const ConfigKeys& keys, const std::string& key);
// Gives every layer a window; 0: none.
void set_windows(ModelConfig& config, size_t window);
// Gives layers the window of the key sliding_window: those that are "sliding_attention" in layer_types, or without this
// key those for which `by_default` is true. Does nothing if sliding_window is missing or null.
void read_layer_types(const ConfigKeys& keys, ModelConfig& config, const std::function<bool(size_t layer)>& by_default,
                      size_t default_window = 0);
// The same for attention.sliding_window and attention.sliding_window_pattern of GGUF: flags of layers, or a period n, of
// whose layers all but the last have the window. default_period: without this key; 1: all layers.
void read_layer_types_gguf(const ConfigKeys& keys, ModelConfig& config, size_t default_period);
void write_window_pattern(const ModelConfig& config, const std::string& prefix, GgufMetadata& metadata);
// Reads the rotary positions: rope_theta, partial_rotary_factor and rope_scaling or rope_parameters. head_dim and
// max_context of `config` must be set before.
void read_rope_hf(const ConfigKeys& keys, ModelConfig& config, const std::string& theta_key = "rope_theta",
                  const std::string& partial_key = "partial_rotary_factor", float default_partial = 1,
                  float default_theta = 10000);
void read_rope_gguf(const ConfigKeys& keys, ModelConfig& config);
Activation read_activation(const ConfigKeys& keys, const std::string& key, const std::string& fallback);
// Reads the numbers of query heads and of key and value heads, and the size of a head, which is dim / heads if
// `head_dim_key` is missing. config.dim must be set before.
void read_heads(const ConfigKeys& keys, const std::string& heads_key, const std::string& kv_heads_key,
                const std::string& head_dim_key, ModelConfig& config);

}  // namespace occ
