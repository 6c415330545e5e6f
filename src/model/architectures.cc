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
Architecture bert_architecture();
Architecture roberta_architecture();
Architecture nomic_bert_architecture();

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> all = {
      llama_architecture(), mistral_architecture(),   mixtral_architecture(), qwen2_architecture(),
      qwen3_architecture(), qwen3_moe_architecture(), gpt2_architecture(),    gpt_neox_architecture(),
      phi3_architecture(),  bert_architecture(),      roberta_architecture(), nomic_bert_architecture()};
  return all;
}

const Architecture& find_architecture(const std::string& name) {
  for (const Architecture& a : architectures()) {
    if (a.name == name) return a;
  }
  OCC_CHECK(false);
  return architectures()[0];
}

std::string hf_prefix(const TensorFile& file, const Architecture& a) {
  for (const std::string& prefix : a.hf_prefixes) {
    if (file.find(prefix + a.hf_names.token_embedding + ".weight") != file.tensors().size()) return prefix;
  }
  return a.hf_prefixes[0];
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
