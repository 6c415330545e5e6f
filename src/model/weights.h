// Weights of a model: the matrices of linear layers are operators, vectors are floats. A WeightLoader can only be made
// for a file that has all tensors that the configuration implies, each with the implied shape. Every use of a model
// (generate, evaluate, calibrate, convert) makes one first, so a wrong file is refused early.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "model/architectures.h"
#include "model/transformer_options.h"
#include "operators/operator.h"

namespace occ {

struct Linear {
  std::unique_ptr<Operator> weight;  // [outputs, inputs]
  std::vector<float> bias;  // [outputs], or empty; the caller adds it, together with its next step on the outputs
  std::string tensor;       // name of the weight in the file
  size_t outputs = 0;       // rows of the weight

  explicit operator bool() const { return weight != nullptr; }
  const float* bias_data() const { return bias.empty() ? nullptr : bias.data(); }
  // y [n, outputs] = x [n, inputs] W^T, without the bias.
  void apply(MatrixView<const float> x, MatrixView<float> y, const TransformerOptions& options) const {
    if (options.observer) options.observer(tensor, x);
    weight->apply(x, y);
  }
};

// `weight` is empty if the model has no norm at this place.
struct NormWeights {
  std::vector<float> weight, bias;                   // [dim]; bias is empty if there is none
  std::string weight_tensor = {}, bias_tensor = {};  // names in the file
};

// An MLP: down(activation(gate) * up), or without gate down(activation(up)). gate and up are either two linear layers
// or one (gate_up), whose rows are those of gate and then those of up.
struct Mlp {
  Linear gate_up, gate, up, down;
  std::vector<float> gate_up_bias;  // biases of gate (if there is one) and up, joined; empty if none has a bias

  bool gated() const { return !gate_up.tensor.empty() || !gate.tensor.empty(); }
};

struct Layer {
  LayerKind kind;
  // Of the inputs of attention and MLP, or with norms_residual_sums of the sums behind them.
  NormWeights attention_norm, mlp_norm;
  NormWeights attention_post_norm, mlp_post_norm;  // of their outputs, before these are added
  // Either one linear layer qkv, or q, k and v. Their joined outputs are [qkv_dim], see QkvLayout in block.h.
  Linear qkv, q, k, v;
  std::vector<float> qkv_bias;  // biases of q, k and v, joined; empty if none has a bias
  // [head_dim], or with norms_whole_queries [heads * head_dim] and [kv_heads * head_dim]; or empty
  std::vector<float> q_norm, k_norm;
  std::string q_norm_tensor, k_norm_tensor;
  Linear attention_output;
  Linear router;          // only with experts: gives one logit per expert
  std::vector<Mlp> mlps;  // one MLP, or all experts

  const Mlp& mlp() const { return mlps[0]; }
  bool has_experts() const { return !router.tensor.empty(); }
  // Bias of the MLP's outputs, or null. It is null for experts too, because their biases are added while their outputs
  // are summed up (add_routed).
  const float* mlp_output_bias() const { return has_experts() ? nullptr : mlp().down.bias_data(); }
};

class WeightLoader {
 public:
  // Throws an input error that names the first tensor that is missing, has another shape than `config` implies or does
  // not hold floats. Reads no values. `file` and `config` must outlive
  // the loader.
  WeightLoader(const TensorFile& file, const ModelConfig& config, Arithmetic arithmetic);

  const TensorNames& names() const { return names_; }
  bool has(const std::string& tensor) const { return index_.count(tensor) != 0; }
  // `name` is a name of TensorNames, `tensor` the full name of a tensor in the file. All of these throw an input error
  // unless the tensor exists and has this shape.
  Linear embedding(const std::string& name, size_t rows, size_t cols);
  Linear head();
  // An empty name gives empty weights.
  NormWeights norm(const std::string& name, size_t size);
  // The factors of a norm, which are the weight, or 1 + weight with norm_adds_one.
  std::vector<float> norm_factors(const std::string& tensor, size_t size);
  std::vector<float> vector(const std::string& tensor, std::vector<uint64_t> shape);
  // Whether the model has an embedding of token types; some GGUF files of encoders leave it out.
  bool has_token_types() const {
    return !names_.token_type_embedding.empty() &&
           (!config_.gguf_names || has(names_.token_type_embedding + ".weight"));
  }
  // The first row of a matrix with any number of rows.
  std::vector<float> first_row(const std::string& name, size_t cols);
  std::vector<Layer> layers();  // all layers with all their weights
  // Layer i without the weights of its linear layers: `load` reads the weight of one linear layer (with a tensor name).
  Layer layer(size_t i);
  void load(Linear& linear) const;
  // Index in the file of a tensor that must exist with this shape.
  size_t require(const std::string& tensor, const std::vector<uint64_t>& shape);
  // Full name in the file of an embedding, which TensorNames calls `name`, and of the head.
  std::string embedding_tensor(const std::string& name) const;
  std::string head_tensor() const;
  // Indices of the tensors that the model does not use, without buffers: those of other layers, of other heads, ...
  std::vector<size_t> unused() const;

 private:
  void check_model();
  Mlp mlp(const std::string& layer, const std::string& expert);
  Linear linear(const std::string& name, size_t out, size_t in, bool needs_bias);

  const TensorFile& file_;
  const ModelConfig& config_;
  TensorNames names_;
  std::string prefix_;
  Arithmetic arithmetic_;
  std::unordered_map<std::string, size_t> index_;
  std::unordered_set<size_t> used_;
  bool reading_ = false;  // false during the first check: then vectors are only checked and come out empty
};

// Reads the divisors of the rotary frequencies, which GGUF stores as tensors. If the tensors of longrope exist, the
// scaling becomes longrope, because some files do not say so in their metadata.
void read_rope_factors(WeightLoader& loader, ModelConfig& config);

// Whether a tensor is a buffer that old checkpoints store in their layers, but that is no weight: a causal mask or
// rotary frequencies.
bool is_buffer(const std::string& name);

// Memory of all operators of a layer, in bytes.
uint64_t layer_bytes(const Layer& layer);

}  // namespace occ
