#include "io/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "io/safetensors.h"
#include "test_data.h"

namespace occ {
namespace {

struct Given {
  std::string name;
  std::vector<uint64_t> shape;
};

// Values that differ between tensors and places.
float value_of(const std::string& name, size_t i) {
  return std::sin(static_cast<float>(name.size()) + 0.37f * static_cast<float>(i));
}

class AdapterTest : public testing::Test {
 protected:
  void put(const std::filesystem::path& path, const std::vector<Given>& tensors) const {
    std::vector<OutTensor> infos;
    for (const Given& t : tensors) infos.push_back({t.name, DType::kF32, t.shape});
    SafetensorsWriter writer(path, infos, {}, false);
    for (const Given& t : tensors) {
      for (size_t i = 0; i < t.shape[0] * t.shape[1]; ++i) {
        const float v = value_of(t.name, i);
        writer.write(&v, sizeof(v));
      }
    }
    writer.commit();
  }
  std::unique_ptr<TensorFile> open(const std::string& config, const std::vector<Given>& adapter) {
    put(temp_ / "base.safetensors",
        {{"model.a.weight", {4, 6}}, {"model.other.weight", {4, 6}}, {"emb.weight", {6, 4}}});
    put(temp_ / "adapter_model.safetensors", adapter);
    put_bytes_for_test(temp_ / "adapter_config.json", config);
    return with_adapter(std::make_unique<SafetensorsFile>(temp_ / "base.safetensors"), temp_.path());
  }
  // W + scale B A, by the formula.
  static std::vector<float> merged(const std::string& weight, const Given& a, const Given& b, double scale,
                                   bool turned) {
    const size_t rank = a.shape[0], in = a.shape[1], out = b.shape[0];
    std::vector<float> w(in * out);
    for (size_t o = 0; o < out; ++o) {
      for (size_t i = 0; i < in; ++i) {
        double sum = 0;
        for (size_t k = 0; k < rank; ++k) {
          sum +=
              static_cast<double>(value_of(b.name, o * rank + k)) * static_cast<double>(value_of(a.name, k * in + i));
        }
        const size_t at = turned ? i * out + o : o * in + i;
        w[at] = static_cast<float>(static_cast<double>(value_of(weight, at)) + scale * sum);
      }
    }
    return w;
  }
  static void expect_values(const TensorFile& file, const std::string& name, const std::vector<float>& want) {
    const size_t i = file.find(name), n = want.size();
    for (const auto& [first, count] : {std::pair<size_t, size_t>{0, n}, {n / 3, n / 2}, {n - 1, 1}}) {
      std::vector<float> got(count);
      file.read_f32(i, first, count, got.data());
      for (size_t k = 0; k < count; ++k) EXPECT_NEAR(got[k], want[first + k], 1e-5f) << name << " " << first + k;
    }
  }
  TempFolder temp_;
};

TEST_F(AdapterTest, AddsTheProduct) {
  const Given a{"base_model.model.model.a.lora_A.weight", {2, 6}}, b{"base_model.model.model.a.lora_B.weight", {4, 2}};
  const auto plain = open(R"({"peft_type":"LORA","r":2,"lora_alpha":3})", {a, b});
  expect_values(*plain, "model.a.weight", merged("model.a.weight", a, b, 1.5, false));
  expect_values(*plain, "model.other.weight",
                merged("model.other.weight", {"x", {0, 6}}, {"y", {4, 0}}, 1, false));  // as it was
  EXPECT_THAT(plain->notes(), testing::ElementsAre(testing::HasSubstr("is merged into 1 weights")));
  const auto root = open(R"({"lora_alpha":3,"use_rslora":true,"alpha_pattern":{"a":5}})", {a, b});
  expect_values(*root, "model.a.weight", merged("model.a.weight", a, b, 5 / std::sqrt(2.0), false));
}

TEST_F(AdapterTest, EmbeddingsAndTurnedWeights) {
  const Given a{"base_model.model.emb.lora_embedding_A", {2, 6}}, b{"base_model.model.emb.lora_embedding_B", {4, 2}};
  expect_values(*open(R"({"lora_alpha":4})", {a, b}), "emb.weight", merged("emb.weight", a, b, 2, true));
  const Given c{"base_model.model.emb.lora_A.weight", {2, 6}}, d{"base_model.model.emb.lora_B.weight", {4, 2}};
  expect_values(*open(R"({"lora_alpha":4,"fan_in_fan_out":true})", {c, d}), "emb.weight",
                merged("emb.weight", c, d, 2, true));
}

TEST_F(AdapterTest, WhatDoesNotFitIsRefused) {
  const Given a{"base_model.model.model.a.lora_A.weight", {2, 6}}, b{"base_model.model.model.a.lora_B.weight", {4, 2}};
  EXPECT_INPUT_ERROR(open(R"({"use_dora":true})", {a, b}), "found DoRA");
  EXPECT_INPUT_ERROR(open(R"({"peft_type":"IA3"})", {a, b}), "found IA3");
  EXPECT_INPUT_ERROR(open("{}", {a}), "expected 'base_model.model.model.a.lora_B.weight' beside it");
  EXPECT_INPUT_ERROR(open("{}", {a, {b.name, {4, 3}}}), "expected 2 columns");
  EXPECT_INPUT_ERROR(open("{}", {a, {b.name, {5, 2}}}), "expected a weight of shape [5, 6], found [4, 6]");
  EXPECT_INPUT_ERROR(
      open("{}", {{"base_model.model.b.lora_A.weight", {2, 6}}, {"base_model.model.b.lora_B.weight", {4, 2}}}),
      "tensor 'b.weight': expected by the adapter");
  EXPECT_INPUT_ERROR(open("{}", {a, b, {"base_model.model.lm_head.weight", {2, 2}}}), "no whole modules");
  EXPECT_INPUT_ERROR(open("{}", {b}), "expected tensors lora_A and lora_B, found none");
}

}  // namespace
}  // namespace occ
