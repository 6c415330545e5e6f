#include "report/tensor_kinds.h"

#include <gmock/gmock.h>

namespace occ {
namespace {

using testing::ElementsAre;

TEST(TensorKinds, NamesOfEveryFamily) {
  const std::pair<const char*, const char*> all[] = {
      {"model.embed_tokens.weight", "embedding"},
      {"token_embd.weight", "embedding"},
      {"embeddings.word_embeddings.weight", "embedding"},
      {"embeddings.LayerNorm.weight", "norm"},
      {"lm_head.weight", "head"},
      {"output.weight", "head"},
      {"embed_out.weight", "head"},
      {"model.layers.3.self_attn.q_proj.weight", "attention q"},
      {"blk.3.attn_k.weight", "attention k"},
      {"encoder.layer.3.attention.self.value.weight", "attention v"},
      {"transformer.h.3.attn.c_attn.weight", "attention qkv"},
      {"model.layers.3.self_attn.qkv_proj.weight", "attention qkv"},
      {"transformer.h.3.attn.c_proj.weight", "attention o"},
      {"encoder.layer.3.attention.output.dense.weight", "attention o"},
      {"gpt_neox.layers.3.attention.dense.weight", "attention o"},
      {"model.layers.3.mlp.gate_proj.weight", "gate"},
      {"blk.3.ffn_gate_exps.weight", "gate"},
      {"model.layers.3.mlp.gate_up_proj.weight", "gate and up"},
      {"model.layers.3.mlp.up_proj.weight", "up"},
      {"encoder.layer.3.intermediate.dense.weight", "up"},
      {"encoder.layer.3.output.dense.weight", "down"},
      {"encoder.layer.11.output.dense.weight", "down"},
      {"model.layers.3.block_sparse_moe.experts.7.w2.weight", "down"},
      {"model.layers.3.mlp.gate.weight", "router"},
      {"blk.3.ffn_gate_inp.weight", "router"},
      {"model.layers.3.self_attn.q_proj.bias", "bias"},
      {"model.layers.3.self_attn.q_norm.weight", "norm"},
      {"transformer.h.3.ln_1.bias", "norm"},
      {"blk.3.ffn_norm.weight", "norm"},
      {"sift5k_base4500", "other"},
  };
  for (const auto& [name, kind] : all) EXPECT_EQ(tensor_kind(name), kind) << name;
}

TEST(TensorKinds, LayersAreNumbersBetweenDots) {
  EXPECT_EQ(tensor_layer("model.layers.10.mlp.experts.7.up_proj.weight"), "model.layers.10");
  EXPECT_EQ(tensor_layer("0.weight"), "0");
  EXPECT_EQ(tensor_layer("sift5k.base4500"), std::nullopt);
  EXPECT_EQ(tensor_layer(""), std::nullopt);
  EXPECT_EQ(tensor_layer(".."), std::nullopt);
}

TEST(TensorKinds, GroupsInTheOrderOfTheModel) {
  const std::vector<std::string> names = {"model.layers.10.mlp.up_proj.weight", "model.layers.2.mlp.up_proj.weight",
                                          "model.norm.weight", "model.embed_tokens.weight",
                                          "model.layers.2.mlp.down_proj.weight"};
  std::vector<std::string> labels;
  std::vector<std::vector<size_t>> members;
  const auto take = [&](const std::vector<TensorGroup>& groups) {
    labels.clear(), members.clear();
    for (const TensorGroup& g : groups) labels.push_back(g.label), members.push_back(g.members);
  };
  take(group_by_kind(names));
  EXPECT_THAT(labels, ElementsAre("embedding", "up", "down", "norm"));
  EXPECT_THAT(members, ElementsAre(ElementsAre(3), ElementsAre(0, 1), ElementsAre(4), ElementsAre(2)));
  take(group_by_layer(names));
  EXPECT_THAT(labels, ElementsAre("2", "10", "no layer"));
  EXPECT_THAT(members, ElementsAre(ElementsAre(1, 4), ElementsAre(0), ElementsAre(2, 3)));
  const std::vector<std::string> stacks = {"encoder.block.1.w", "decoder.block.1.w"}, flat = {"a", "b"};
  take(group_by_layer(stacks));
  EXPECT_THAT(labels, ElementsAre("decoder.block.1", "encoder.block.1"));
  EXPECT_TRUE(group_by_layer(flat).empty());
}

}  // namespace
}  // namespace occ
