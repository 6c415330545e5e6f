#include "model/architectures.h"

#include "base/check.h"

namespace occ {

Architecture llama_architecture();
Architecture mistral_architecture();
Architecture mixtral_architecture();
Architecture qwen2_architecture();
Architecture qwen3_architecture();
Architecture qwen3_moe_architecture();
Architecture gpt2_architecture();
Architecture gpt_neox_architecture();
Architecture phi3_architecture();
Architecture olmo2_architecture();
Architecture olmo3_architecture();
Architecture smollm3_architecture();
Architecture granite_architecture();
Architecture gemma_architecture();
Architecture gemma2_architecture();
Architecture gemma3_architecture();
Architecture opt_architecture();
Architecture ministral_architecture();
Architecture ministral3_architecture();
Architecture bert_architecture();
Architecture roberta_architecture();
Architecture nomic_bert_architecture();

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> all = {
      llama_architecture(),   mistral_architecture(),   mixtral_architecture(),    qwen2_architecture(),
      qwen3_architecture(),   qwen3_moe_architecture(), gpt2_architecture(),       gpt_neox_architecture(),
      phi3_architecture(),    olmo2_architecture(),     olmo3_architecture(),      smollm3_architecture(),
      granite_architecture(), gemma_architecture(),     gemma2_architecture(),     gemma3_architecture(),
      opt_architecture(),     ministral_architecture(), ministral3_architecture(), bert_architecture(),
      roberta_architecture(), nomic_bert_architecture()};
  return all;
}

const Architecture& find_architecture(const std::string& name) {
  for (const Architecture& a : architectures()) {
    if (a.name == name) return a;
  }
  OCC_CHECK(false);
  return architectures()[0];
}

const Architecture* find_gguf_architecture(const std::string& gguf_name) {
  for (const Architecture& a : architectures()) {
    if (a.gguf_name == gguf_name && a.read_gguf != nullptr) return &a;
  }
  return nullptr;
}

namespace {

constexpr std::string_view kTowerOfModel = "language_model.model.";

}  // namespace

std::string hf_prefix(const TensorFile& file, const Architecture& a) {
  std::vector<std::string> prefixes = a.hf_prefixes;
  for (const std::string_view tower : {kTowerOfModel, std::string_view("model.language_model."),
                                       std::string_view("model.text_model."), std::string_view("language_model.")}) {
    prefixes.emplace_back(tower);
  }
  for (const std::string& prefix : prefixes) {
    if (file.find(prefix + a.hf_names.token_embedding + ".weight") != file.tensors().size()) return prefix;
  }
  return prefixes[0];
}

std::string hf_head_prefix(const std::string& prefix) { return prefix == kTowerOfModel ? "language_model." : ""; }

std::string hf_head_tensor(const std::string& prefix, const Architecture& a) {
  return hf_head_prefix(prefix) + a.hf_names.head + ".weight";
}

std::string name_in_layer(std::string pattern, const std::string& layer, const std::string& expert) {
  if (const size_t at = pattern.find('#'); at != std::string::npos) pattern.replace(at, 1, layer);
  if (const size_t at = pattern.find('@'); at != std::string::npos) pattern.replace(at, 1, expert);
  return pattern;
}

std::string architecture_list() {
  std::string out;
  for (const Architecture& a : architectures()) {
    if (!out.empty()) out += ", ";
    out += a.hf_classes[0];
  }
  return out;
}

}  // namespace occ
