// Weights of a model: linear layers as operators, vectors as floats. A WeightLoader exists only for a file whose
// tensors are those that the configuration implies, each of the implied shape: whatever uses a model (generate,
// evaluate, calibrate, convert) makes one first.
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
  std::unique_ptr<Operator> weight;
  std::vector<float> bias;  // empty: none; callers add it where they touch the outputs anyway
  std::string tensor;       // name of the weight in the file
  size_t outputs = 0;       // rows of the weight

  explicit operator bool() const { return weight != nullptr; }
  const float* bias_data() const { return bias.empty() ? nullptr : bias.data(); }
  // y = x W^T, without the bias.
  void apply(MatrixView<const float> x, MatrixView<float> y, const TransformerOptions& options) const {
    if (options.observer) options.observer(tensor, x);
    weight->apply(x, y);
  }
};

struct NormWeights {
  std::vector<float> weight, bias;                   // no bias: empty
  std::string weight_tensor = {}, bias_tensor = {};  // names in the file
};

// down(activation(gate) * up), or without gate down(activation(up)).
struct Mlp {
  Linear gate_up, gate, up, down;
  std::vector<float> gate_up_bias;  // of gate (if there is one) and up

  bool gated() const { return !gate_up.tensor.empty() || !gate.tensor.empty(); }
};

struct Layer {
  NormWeights attention_norm, mlp_norm;
  // Outputs of qkv, or of q, k and v one after the other: [heads * head_dim | kv_heads * head_dim | the same].
  Linear qkv, q, k, v;
  std::vector<float> qkv_bias;  // of all of them
  std::vector<float> q_norm, k_norm;
  std::string q_norm_tensor, k_norm_tensor;
  Linear attention_output;
  Linear router;          // of more than one MLP: logits of each
  std::vector<Mlp> mlps;  // one, or the experts

  const Mlp& mlp() const { return mlps[0]; }
  bool has_experts() const { return !router.tensor.empty(); }
  // Bias of the outputs of the MLP; those of experts are in what run_mlp gives.
  const float* mlp_output_bias() const { return has_experts() ? nullptr : mlp().down.bias_data(); }
};

class WeightLoader {
 public:
  // Input error that names the first tensor that is missing, has another shape than `config` implies, is not of floats,
  // or lies in a layer that has no such tensor. Reads no values. `file` and `config` must outlive the loader.
  WeightLoader(const TensorFile& file, const ModelConfig& config, Arithmetic arithmetic);

  const TensorNames& names() const { return names_; }
  bool has(const std::string& tensor) const { return index_.count(tensor) != 0; }
  // `name` as in TensorNames. Input error unless the tensor is there and has this shape.
  Linear embedding(const std::string& name, size_t rows, size_t cols);
  NormWeights norm(const std::string& name, size_t size);
  std::vector<float> vector(const std::string& tensor, std::vector<uint64_t> shape);
  std::vector<float> first_row(const std::string& name, size_t cols);  // of a matrix with any number of rows
  std::vector<Layer> layers();
  // Layer i with all but the weights themselves, which `load` gives to the linear layers that have a name.
  Layer layer(size_t i);
  void load(Linear& linear) const;
  // Index of a tensor that must be there with this shape.
  size_t require(const std::string& tensor, const std::vector<uint64_t>& shape);
  // Name in the file of an embedding or the head.
  std::string embedding_tensor(const std::string& name) const;

 private:
  void check_model();
  // Input error for tensors of layers that nothing asked for: the model is not what its configuration says.
  void check_layers_used() const;
  Mlp mlp(const std::string& layer, const std::string& expert);
  Linear linear(const std::string& name, size_t out, size_t in, bool needs_bias);

  const TensorFile& file_;
  const ModelConfig& config_;
  TensorNames names_;
  std::string prefix_;
  Arithmetic arithmetic_;
  std::unordered_map<std::string, size_t> index_;
  std::unordered_set<size_t> used_;
  bool reading_ = false;  // while it is not, vectors are checked and come out empty
};

// GGUF keeps divisors of the rotary frequencies as tensors; those of longrope need not be told of in the metadata.
void read_rope_factors(WeightLoader& loader, ModelConfig& config);

// Buffers that old checkpoints carry in their layers: causal masks and rotary frequencies.
bool is_buffer(const std::string& name);

// resident_bytes of all operators of a layer.
uint64_t layer_bytes(const Layer& layer);

}  // namespace occ
