// RoBERTa (Liu et al. 2019, arXiv 1907.11692), XLM-R (Conneau et al. 2019, arXiv 1911.02116) and CamemBERT are BERT
// with other texts and tokenizers. The row of position 0 is that behind the padding token's, which is never used. GGUF
// has them as BERT, without the rows before it.
#include "model/architectures.h"

namespace occ {
namespace {

void read_roberta_hf(const ConfigKeys& keys, ModelConfig& config) {
  read_bert_hf(keys, config);
  config.position_offset = 1 + (keys.has("pad_token_id") ? keys.count("pad_token_id") : 1);
  if (config.max_context <= config.position_offset) {
    keys.fail("max_position_embeddings", fmt::format("more than {}", config.position_offset));
  }
  config.max_context -= config.position_offset;
}

}  // namespace

Architecture roberta_architecture() {
  Architecture a;
  a.name = "roberta";
  a.gguf_name = "bert";
  for (const char* family : {"Roberta", "XLMRoberta", "Camembert"}) {
    for (const char* task : {"Model", "ForMaskedLM", "ForSequenceClassification"}) {
      a.hf_classes.push_back(std::string(family) + task);
    }
  }
  a.model_types = {"roberta", "xlm-roberta", "camembert"};
  a.hf_prefixes = {"roberta.", "camembert.", ""};
  a.hf_names = bert_hf_names();
  a.gguf_names = bert_gguf_names();
  a.read_hf = read_roberta_hf;
  return a;
}

}  // namespace occ
