#include "calibration/layer_part.h"

#include "model/weights.h"

namespace occ {
namespace {

std::vector<std::string> names_of(std::initializer_list<const Linear*> linears) {
  std::vector<std::string> names;
  for (const Linear* linear : linears) {
    if (!linear->tensor.empty()) names.push_back(linear->tensor);
  }
  return names;
}

}  // namespace

std::vector<std::string> ModelPart::tensors() const {
  std::vector<std::string> out;
  for (const std::vector<std::string>& group : groups) out.insert(out.end(), group.begin(), group.end());
  return out;
}

std::vector<ModelPart> model_parts(const TensorFile& file, const ModelConfig& config) {
  WeightLoader loader(file, config, Arithmetic::kF32);
  std::vector<ModelPart> parts;
  for (size_t i = 0; i < config.layers; ++i) {
    const Layer layer = loader.layer(i);
    ModelPart gate_up{i, LayerPart::kGateUp, {}}, down{i, LayerPart::kDown, {}};
    for (const Mlp& mlp : layer.mlps) {
      gate_up.groups.push_back(names_of({&mlp.gate_up, &mlp.gate, &mlp.up}));
      down.groups.push_back(names_of({&mlp.down}));
    }
    parts.push_back({i, LayerPart::kQueryKeyValue, {names_of({&layer.qkv, &layer.q, &layer.k, &layer.v})}});
    parts.push_back({i, LayerPart::kAttentionOutput, {names_of({&layer.attention_output})}});
    parts.push_back(std::move(gate_up));
    parts.push_back(std::move(down));
  }
  if (config.encoder) return parts;
  const std::string head =
      config.tied_embeddings ? loader.embedding_tensor(loader.names().token_embedding) : loader.head_tensor();
  parts.push_back({config.layers, LayerPart::kHead, {{head}}});
  return parts;
}

}  // namespace occ
