#include "model/mended_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "io/safetensors.h"
#include "model/tiny_models_for_test.h"
#include "model/transformer.h"
#include "tensor/side_files.h"

namespace occ {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

struct Values {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Values>;

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

class MendedFileTest : public testing::Test {
 protected:
  MendedFileTest() {
    const auto folder = tiny_models_folder() / "llama";
    config_ = json::parse(read_text_for_test(folder / "plain.config.json"));
    const SafetensorsFile file(folder / "model.safetensors");
    for (size_t i = 0; i < file.tensors().size(); ++i) {
      Values& v = tensors_[file.tensors()[i].name];
      v.shape = file.tensors()[i].shape;
      v.values.resize(file.tensors()[i].elements());
      file.read_f32(i, 0, v.values.size(), v.values.data());
    }
    tensors_.erase(kHead);
  }
  // The model as it is opened, with this entry of the configuration (null: none).
  std::unique_ptr<TensorFile> open(const json& tied) {
    config_.erase("tie_word_embeddings");
    if (!tied.is_null()) config_["tie_word_embeddings"] = tied;
    put_bytes_for_test(temp_ / "config.json", config_.dump());
    std::vector<OutTensor> infos;
    for (const auto& [name, v] : tensors_) infos.push_back({name, DType::kF32, v.shape});
    SafetensorsWriter writer(temp_ / "model.safetensors", infos, {}, false);
    for (const auto& [name, v] : tensors_) writer.write(v.values.data(), v.values.size() * sizeof(float));
    writer.commit();
    return open_model_file(temp_.path());
  }
  static bool says_tied(const TensorFile& file) {
    const std::vector<SideFile> files = file.side_files();
    return json::parse(text_of(*find_side_file(files, "config.json"))).value("tie_word_embeddings", false);
  }
  static bool has(const TensorFile& file, const std::string& name) { return file.find(name) < file.tensors().size(); }

  json config_;
  Tensors tensors_;
  TempFolder temp_;
};

TEST_F(MendedFileTest, WhatIsNotOddIsLeftAlone) {
  tensors_[kHead] = tensors_[kEmbedding];
  tensors_[kHead].values[3] += 1;
  const auto file = open(false);
  EXPECT_TRUE(file->notes().empty());
  EXPECT_TRUE(has(*file, kHead) && has(*file, kEmbedding));
  tensors_.erase(kHead);
  EXPECT_TRUE(open(true)->notes().empty());
}

TEST_F(MendedFileTest, TiedEmbeddingsAreOneTable) {
  tensors_[kHead] = tensors_[kEmbedding];
  for (const json& tied : {json(true), json()}) {
    const auto file = open(tied);
    EXPECT_FALSE(has(*file, kHead));
    EXPECT_TRUE(says_tied(*file));
    EXPECT_THAT(file->notes(), ElementsAre(HasSubstr("'lm_head.weight' is left out: it equals")));
    EXPECT_TRUE(read_config(*file).tied_embeddings);
  }
  EXPECT_TRUE(has(*open(false), kHead));  // two tables that happen to be equal
  tensors_[kHead].values.back() += 1;
  EXPECT_INPUT_ERROR(open(true), "tensor 'lm_head.weight': expected the values of 'model.embed_tokens.weight'");
  EXPECT_TRUE(has(*open(nullptr), kHead));
}

TEST_F(MendedFileTest, TheHeadAloneIsTheEmbedding) {
  tensors_[kHead] = tensors_[kEmbedding];
  const Tensors both = tensors_;
  tensors_.erase(kEmbedding);
  for (const json& tied : {json(true), json()}) {
    const auto file = open(tied);
    EXPECT_TRUE(has(*file, kEmbedding) && !has(*file, kHead) && says_tied(*file));
    EXPECT_THAT(file->notes(), ElementsAre(HasSubstr("'lm_head.weight' is the embedding too")));
    load_transformer(*file);
  }
  EXPECT_INPUT_ERROR(open(false), "tensor 'model.embed_tokens.weight': expected shape");
}

TEST_F(MendedFileTest, UnusedTensorsAreKeptWithANote) {
  const size_t layers = config_["num_hidden_layers"].get<size_t>();
  const std::string past = "model.layers." + std::to_string(layers) + ".eh_proj.weight";
  tensors_[past] = {{4, 8}, std::vector<float>(32, 1)};
  tensors_["visual.patch_embed.weight"] = {{2, 2}, std::vector<float>(4, 1)};
  tensors_["model.layers.0.self_attn.k_scale"] = {{1}, {1}};
  tensors_["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{4}, {1, 1, 1, 1}};
  const auto file = open(true);
  EXPECT_THAT(file->notes(), ElementsAre(HasSubstr("3 tensors are not used by the model and kept as they are")));
  EXPECT_EQ(file->tensors()[file->find(past)].keep, "not used by the model");
  EXPECT_EQ(file->tensors()[file->find(kEmbedding)].keep, "");
  load_transformer(*file);
}

TEST_F(MendedFileTest, WhatCannotRunIsRefused) {
  tensors_.erase("model.layers.0.self_attn.q_proj.weight");
  EXPECT_INPUT_ERROR(open(true), "tensor 'model.layers.0.self_attn.q_proj.weight': expected shape");
  tensors_.clear();
  EXPECT_INPUT_ERROR(open(true), "expected tensors, found none");
  config_["architectures"] = {"UnknownForCausalLM"};  // is coded, not run
  tensors_["a.weight"] = {{2, 2}, std::vector<float>(4, 1)};
  EXPECT_EQ(open(nullptr)->tensors().size(), 1u);
}

}  // namespace
}  // namespace occ
