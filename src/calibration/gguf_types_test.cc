#include "calibration/gguf_types.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "io/gguf_blocks.h"

namespace occ {
namespace {

TensorInfo tensor(std::string name, std::vector<uint64_t> shape) {
  TensorInfo info;
  info.name = std::move(name);
  info.shape = std::move(shape);
  return info;
}

std::vector<TensorInfo> model(uint64_t width, size_t layers, bool head) {
  std::vector<TensorInfo> all = {tensor("token_embd.weight", {100, width}), tensor("output_norm.weight", {width})};
  if (head) all.push_back(tensor("output.weight", {100, width}));
  for (size_t i = 0; i < layers; ++i) {
    all.push_back(tensor(fmt::format("blk.{}.attn_norm.weight", i), {width}));
    for (const char* part : {"attn_q", "attn_v", "ffn_down", "ffn_gate_inp"}) {
      all.push_back(tensor(fmt::format("blk.{}.{}.weight", i, part), {width, width}));
    }
  }
  return all;
}

std::string type_of(const std::vector<TensorInfo>& tensors, std::string_view mixture, const std::string& name) {
  const std::vector<std::string> types = gguf_tensor_types(find_gguf_mixture(mixture), tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].name == name) return types[i];
  }
  return "no such tensor";
}

// As llama_tensor_get_type of llama.cpp has them for a Llama model of 32 layers.
TEST(GgufTypes, MixturesAreThoseOfLlamaCpp) {
  const std::vector<TensorInfo> llama = model(512, 32, true);
  EXPECT_EQ(type_of(llama, "Q4_K_M", "token_embd.weight"), "Q4_K");
  EXPECT_EQ(type_of(llama, "Q4_K_M", "output.weight"), "Q6_K");
  EXPECT_EQ(type_of(llama, "Q4_K_M", "blk.0.ffn_down.weight"), "Q6_K");
  EXPECT_EQ(type_of(llama, "Q4_K_M", "blk.4.ffn_down.weight"), "Q4_K");
  EXPECT_EQ(type_of(llama, "Q4_K_M", "blk.6.attn_v.weight"), "Q6_K");
  EXPECT_EQ(type_of(llama, "Q4_K_M", "blk.31.attn_v.weight"), "Q6_K");
  EXPECT_EQ(type_of(llama, "Q4_K_M", "blk.31.attn_q.weight"), "Q4_K");
  EXPECT_EQ(type_of(llama, "q4_0", "blk.0.attn_v.weight"), "Q4_0");
}

TEST(GgufTypes, WhatIsKeptAndWhatHasNoSuperBlocks) {
  const std::vector<TensorInfo> small = model(96, 4, false);
  EXPECT_EQ(type_of(small, "Q4_K_M", "token_embd.weight"), "Q8_0");  // it is the head, too
  EXPECT_EQ(type_of(small, "Q4_K_M", "blk.1.attn_q.weight"), "Q5_0");
  EXPECT_EQ(type_of(small, "Q2_K", "blk.1.attn_q.weight"), "IQ4_NL");
  EXPECT_EQ(type_of(small, "Q5_K_S", "blk.1.attn_q.weight"), "Q5_1");
  EXPECT_EQ(type_of(small, "Q4_0", "blk.1.attn_norm.weight"), "");
  EXPECT_EQ(type_of(small, "Q4_0", "blk.1.ffn_gate_inp.weight"), "");
  EXPECT_EQ(type_of(model(40, 2, true), "Q4_0", "blk.1.attn_q.weight"), "");
}

TEST(GgufTypes, OutputsAndFusedMatricesOfLayers) {
  std::vector<TensorInfo> all = model(512, 32, true);
  for (size_t i = 0; i < 32; ++i) {
    for (const char* part : {"attn_output", "attn_qkv"}) {
      all.push_back(tensor(fmt::format("blk.{}.{}.weight", i, part), {512, 512}));
    }
  }
  EXPECT_EQ(type_of(all, "Q2_K", "blk.9.attn_output.weight"), "Q3_K");
  EXPECT_EQ(type_of(all, "Q3_K_M", "blk.9.attn_output.weight"), "Q4_K");
  EXPECT_EQ(type_of(all, "Q3_K_L", "blk.9.attn_output.weight"), "Q5_K");
  EXPECT_EQ(type_of(all, "Q4_K_M", "blk.0.attn_output.weight"), "Q4_K");
  EXPECT_EQ(type_of(all, "Q4_K_M", "blk.0.attn_qkv.weight"), "Q6_K");
  EXPECT_EQ(type_of(all, "Q4_K_M", "blk.4.attn_qkv.weight"), "Q4_K");
  EXPECT_EQ(type_of(all, "Q3_K_L", "blk.4.attn_qkv.weight"), "Q5_K");
}

TEST(GgufTypes, FloatsAreThoseOfLlamaQuantize) {
  const auto floats = [](const char* name, std::vector<uint64_t> shape, DType source) {
    TensorInfo t = tensor(name, std::move(shape));
    t.dtype = source;
    return gguf_float_type(t);
  };
  EXPECT_EQ(floats("blk.0.attn_q.weight", {40, 40}, DType::kF32), DType::kF16);
  for (const char* name :
       {"blk.0.ssm_conv1d.weight", "blk.0.ssm_a", "blk.0.time_mix_w1.weight", "blk.0.attn_rel_b.weight",
        "altup_proj.weight", "blk.0.laurel_l.weight", "blk.0.shortconv.conv.weight"}) {
    EXPECT_EQ(floats(name, {64, 64}, DType::kF32), DType::kF32) << name;
    EXPECT_EQ(floats(name, {64, 64}, DType::kF16), DType::kF16) << name;
    EXPECT_EQ(type_of({tensor(name, {64, 64})}, "Q4_0", name), "") << name;
  }
  EXPECT_EQ(floats("position_embd.weight", {64, 64}, DType::kF16), DType::kF32);
  EXPECT_EQ(floats("blk.0.attn_norm.weight", {64}, DType::kBF16), DType::kF32);
  EXPECT_EQ(floats("ids.weight", {64}, DType::kI32), DType::kI32);
  EXPECT_EQ(type_of({tensor("blk.0.time_mix_key.weight", {64, 64})}, "Q4_0", "blk.0.time_mix_key.weight"), "Q4_0");
}

TEST(GgufTypes, UnknownNamesAreRefusedWithTheKnownOnes) {
  try {
    find_gguf_mixture("Q7_X");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    EXPECT_NE(std::string(e.what()).find("Q4_K_M"), std::string::npos);
  }
}

}  // namespace
}  // namespace occ
