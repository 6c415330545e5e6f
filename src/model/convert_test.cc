#include "model/convert.h"

#include "io/expect_error_for_test.h"
#include "model/tiny_models_for_test.h"
#include "tensor/side_files.h"

namespace occ {
namespace {

class EveryConversion : public testing::TestWithParam<TinyVariant> {
 protected:
  EveryConversion() : tiny_(GetParam().model, GetParam().name), file_(tiny_.open()) {}
  TinyModel tiny_;
  std::unique_ptr<TensorFile> file_;
};

Matrix<float> values_of(const TensorFile& file, size_t i) {
  Matrix<float> out(1, file.tensors()[i].elements());
  file.read_f32(i, 0, out.size(), out.data());
  return out;
}

Matrix<float> logits_of(const TensorFile& file, const std::vector<TokenId>& tokens) {
  const auto model = load_transformer(file, kExact);
  return logits_for_test(*model, hidden_for_test(*model, tokens, 1000));
}

// Other names, other orders of rows, the same model.
TEST_P(EveryConversion, ToGgufGivesTheSameLogits) {
  EXPECT_TRUE(is_hf_model(*file_));
  const auto gguf = as_gguf(*file_);
  EXPECT_TRUE(is_gguf_model(*gguf));
  EXPECT_FALSE(is_hf_model(*gguf));
  EXPECT_NE(gguf->find("token_embd.weight"), gguf->tensors().size());
  const std::vector<TokenId> tokens = tiny_.integers("tokens");
  EXPECT_LT(difference_for_test(logits_of(*gguf, tokens), logits_of(*file_, tokens)), 1e-6);
}

TEST_P(EveryConversion, AndBackIsTheSameBitForBit) {
  const auto gguf = as_gguf(*file_);
  const auto back = as_hugging_face(*gguf);
  EXPECT_TRUE(is_hf_model(*back));
  size_t found = 0;
  for (size_t i = 0; i < back->tensors().size(); ++i) {
    const TensorInfo& info = back->tensors()[i];
    const size_t k = file_->find(info.name);
    ASSERT_NE(k, file_->tensors().size()) << info.name;
    EXPECT_EQ(info.shape, file_->tensors()[k].shape) << info.name;
    const Matrix<float> a = values_of(*back, i), b = values_of(*file_, k);
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << info.name;
    ++found;
  }
  EXPECT_EQ(found, file_->tensors().size());
  const std::vector<TokenId> tokens = tiny_.integers("tokens");
  EXPECT_LT(difference_for_test(logits_of(*back, tokens), logits_of(*file_, tokens)), 1e-6);
}

// What llama.cpp's own converter wrote (through the gguf package), where there is such a file.
TEST_P(EveryConversion, HasTheTensorsOfTheGgufPackage) {
  if (!std::filesystem::exists(tiny_.gguf())) GTEST_SKIP() << "no GGUF of this variant";
  const auto expected = open_tensor_file(tiny_.gguf());
  const auto gguf = as_gguf(*file_);
  EXPECT_EQ(gguf->tensors().size(), expected->tensors().size());
  for (size_t i = 0; i < expected->tensors().size(); ++i) {
    const TensorInfo& info = expected->tensors()[i];
    const size_t k = gguf->find(info.name);
    ASSERT_NE(k, gguf->tensors().size()) << info.name;
    EXPECT_EQ(info.shape, gguf->tensors()[k].shape) << info.name;
    EXPECT_LT(difference_for_test(values_of(*gguf, k), values_of(*expected, i)), 1e-6) << info.name;
  }
}

// A model with one of its side files replaced.
class OtherSideFile final : public TensorFile {
 public:
  OtherSideFile(const TensorFile& base, SideFile other) : base_(base), other_(std::move(other)) {}
  std::string path() const override { return base_.path(); }
  std::string format() const override { return base_.format(); }
  const std::vector<TensorInfo>& tensors() const override { return base_.tensors(); }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    base_.read_f32(i, first, count, out);
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    base_.read_raw(i, first, count, out);
  }
  std::vector<SideFile> side_files() const override {
    std::vector<SideFile> files = base_.side_files();
    for (SideFile& f : files) {
      if (f.name == other_.name) f = other_;
    }
    return files;
  }
  uint64_t file_bytes() const override { return base_.file_bytes(); }

 private:
  const TensorFile& base_;
  SideFile other_;
};

// `file` with `from` replaced by `to` in its side file `name`.
OtherSideFile with_edit(const TensorFile& file, const std::string& name, const std::string& from,
                        const std::string& to) {
  const std::vector<SideFile> files = file.side_files();
  const SideFile* old = find_side_file(files, name);
  std::string text(text_of(*old));
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  return {file, {name, Bytes(text.begin(), text.end())}};
}

// Reads all of it, as `decompress` does.
void read_all(const TensorFile& file) {
  for (size_t i = 0; i < file.tensors().size(); ++i) values_of(file, i);
}

// Two key heads of 16 rows: rows were gathered from, and put to, places that the tensor does not have.
TEST(Convert, HeadsThatTheTensorsDoNotHaveAreNamed) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const auto gguf = as_gguf(*file);
  for (const std::string heads : {"1", "4"}) {
    const OtherSideFile bad =
        with_edit(*file, "config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": " + heads);
    EXPECT_INPUT_ERROR(read_all(*as_gguf(bad)), "k_proj.weight': expected shape");
    EXPECT_INPUT_ERROR(load_transformer(bad, kExact), "k_proj.weight': expected shape");
    const std::string key = R"("llama.attention.head_count_kv", "type": "u32", "value": )";
    const OtherSideFile bad_gguf = with_edit(*gguf, "gguf.json", key + "2", key + heads);
    EXPECT_INPUT_ERROR(read_all(*as_hugging_face(bad_gguf)), "attn_k.weight': expected shape");
    EXPECT_INPUT_ERROR(load_transformer(bad_gguf, kExact), "attn_k.weight': expected shape");
  }
}

// Tensors of a layer that the model does not have have no shape that could be checked: they are left out.
TEST(Convert, LayersThatTheModelDoesNotHaveAreLeftOut) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const auto gguf = as_gguf(*file);
  const OtherSideFile cut = with_edit(*file, "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
  const auto one_layer = as_gguf(cut);
  read_all(*one_layer);
  EXPECT_EQ(one_layer->find("blk.1.attn_q.weight"), one_layer->tensors().size());
  ASSERT_EQ(one_layer->notes().size(), 1u);
  EXPECT_NE(one_layer->notes()[0].find("9 tensors are not used by the model and left out"), std::string::npos);
  const std::string key = R"("llama.block_count", "type": "u32", "value": )";
  const OtherSideFile cut_gguf = with_edit(*gguf, "gguf.json", key + "2", key + "1");
  const auto back = as_hugging_face(cut_gguf);
  read_all(*back);
  EXPECT_EQ(back->find("model.layers.1.self_attn.q_proj.weight"), back->tensors().size());
  EXPECT_EQ(back->notes().size(), 1u);
}

// A tensor of any part of any architecture with one row more is named before a value is read.
TEST_P(EveryConversion, EveryShapeIsChecked) {
  class Reshaped final : public TensorFile {
   public:
    Reshaped(const TensorFile& base, size_t changed) : base_(base), infos_(base.tensors()) {
      ++infos_[changed].shape[0];
    }
    std::string path() const override { return base_.path(); }
    std::string format() const override { return base_.format(); }
    const std::vector<TensorInfo>& tensors() const override { return infos_; }
    void read_f32(size_t, uint64_t, uint64_t, float*) const override { ADD_FAILURE(); }
    void read_raw(size_t, uint64_t, uint64_t, void*) const override { ADD_FAILURE(); }
    std::vector<SideFile> side_files() const override { return base_.side_files(); }
    uint64_t file_bytes() const override { return base_.file_bytes(); }

   private:
    const TensorFile& base_;
    std::vector<TensorInfo> infos_;
  };
  for (size_t i = 0; i < file_->tensors().size(); ++i) {
    EXPECT_INPUT_ERROR(as_gguf(Reshaped(*file_, i)), "expected");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, EveryConversion,
    testing::Values(TinyVariant{"llama", "plain"}, TinyVariant{"llama", "linear"}, TinyVariant{"llama", "llama3"},
                    TinyVariant{"llama", "yarn-default"}, TinyVariant{"qwen2", "plain"}, TinyVariant{"qwen3", "plain"},
                    TinyVariant{"gpt2", "plain"}, TinyVariant{"gptneox", "plain"}, TinyVariant{"gptneox", "sequential"},
                    TinyVariant{"phi3", "plain"}, TinyVariant{"olmo2", "plain"}, TinyVariant{"smollm3", "plain"},
                    TinyVariant{"granite", "plain"}, TinyVariant{"gemma", "plain"}, TinyVariant{"gemma2", "plain"},
                    TinyVariant{"gemma3", "plain"}, TinyVariant{"ministral3", "plain"}),
    tiny_variant_name<TinyVariant>);

// A Mistral becomes a llama of GGUF, which knows windows; its way back is Llama's class with the same logits.
TEST(Convert, MistralIsALlamaOfGguf) {
  const TinyModel tiny("mistral", "plain");
  const auto file = tiny.open();
  const auto gguf = as_gguf(*file);
  EXPECT_EQ(read_config(*gguf).architecture, "llama");
  const std::vector<TokenId> tokens = tiny.integers("tokens");
  EXPECT_LT(difference_for_test(logits_of(*gguf, tokens), logits_of(*file, tokens)), 1e-6);
}

// A model in doubles, one of which no float holds.
TEST(Convert, DoublesThatNoFloatHoldsAreNamed) {
  class Doubles final : public TensorFile {
   public:
    Doubles(const TensorFile& base, const std::string& name)
        : base_(base), infos_(base.tensors()), large_(base.find(name)) {
      for (TensorInfo& t : infos_) t.dtype = DType::kF64;
    }
    std::string path() const override { return base_.path(); }
    std::string format() const override { return base_.format(); }
    const std::vector<TensorInfo>& tensors() const override { return infos_; }
    void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
      base_.read_f32(i, first, count, out);
      if (i == large_ && first == 0 && count != 0) out[0] = INFINITY;
    }
    void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
      std::vector<float> values(count);
      read_f32(i, first, count, values.data());
      convert_from_f32(DType::kF64, values.data(), out, count);
      if (i == large_ && first == 0 && count != 0) *static_cast<double*>(out) = 1e39;
    }
    std::vector<SideFile> side_files() const override { return base_.side_files(); }
    uint64_t file_bytes() const override { return base_.file_bytes(); }

   private:
    const TensorFile& base_;
    std::vector<TensorInfo> infos_;
    size_t large_;
  };
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  EXPECT_NO_THROW(as_gguf(Doubles(*file, "none")));
  for (const char* name : {"model.norm.weight", "model.layers.1.self_attn.q_proj.weight"}) {
    EXPECT_INPUT_ERROR(as_gguf(Doubles(*file, name)), "': expected values within the range of F32");
  }
}

TEST(Convert, WhatLlamaCppHasOnlyInF32) {
  const TinyModel tiny("gpt2", "plain");
  const auto file = tiny.open();
  ASSERT_NE(file->tensors()[0].dtype, DType::kF32);
  const auto gguf = as_gguf(*file);
  for (const TensorInfo& t : gguf->tensors()) {
    EXPECT_EQ(t.dtype == DType::kF32, t.shape.size() == 1 || t.name == "position_embd.weight") << t.name;
  }
}

TEST(Convert, EncodersKeepTheirEmbeddings) {
  const TinyModel tiny("bert", "plain");
  const auto file = tiny.open();
  const auto gguf = as_gguf(*file);
  const auto back = as_hugging_face(*gguf);
  const std::vector<std::vector<TokenId>> texts = {{1, 5, 9, 20, 2}, {1, 7, 2}};
  const Matrix<float> expected = load_encoder(*file, kExact)->embed(texts);
  EXPECT_LT(difference_for_test(load_encoder(*gguf, kExact)->embed(texts), expected), 1e-6);
  EXPECT_LT(difference_for_test(load_encoder(*back, kExact)->embed(texts), expected), 1e-6);
  // llama.cpp needs the number of token types, and what is added to embeddings in f32.
  const size_t types = gguf->find("token_types.weight");
  ASSERT_NE(types, gguf->tensors().size());
  EXPECT_EQ(gguf->tensors()[types].dtype, DType::kF32);
  const std::vector<SideFile> files = gguf->side_files();
  const std::string metadata(files.at(0).bytes.begin(), files.at(0).bytes.end());
  EXPECT_NE(metadata.find("token_type_count"), std::string::npos);
}

// Pooling of the first token is not the default: it must travel with the folder.
TEST(Convert, PoolingTravels) {
  const TinyModel tiny("bert", "plain");
  tiny.put("1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  const auto file = tiny.open();
  ASSERT_EQ(read_config(*file).pooling, Pooling::kFirst);
  const auto gguf = as_gguf(*file);
  EXPECT_EQ(read_config(*gguf).pooling, Pooling::kFirst);
  EXPECT_EQ(read_config(*as_hugging_face(*gguf)).pooling, Pooling::kFirst);
}

TEST(Convert, WhatHasNoPlaceIsNamed) {
  const TinyModel tiny("phi3", "long");
  const auto file = tiny.open();
  EXPECT_INPUT_ERROR(as_gguf(*file), "rotary scaling");
  const TinyModel yarn("llama", "yarn");
  const auto yarn_file = yarn.open();
  EXPECT_INPUT_ERROR(as_gguf(*yarn_file), "YaRN");
  // Llamas of GGUF have silu.
  const TinyModel gelu("llama-bias", "plain");
  const auto gelu_file = gelu.open();
  EXPECT_INPUT_ERROR(as_gguf(*gelu_file), "activation");
  const TinyModel experts("mixtral", "plain");
  const auto experts_file = experts.open();
  EXPECT_INPUT_ERROR(as_gguf(*experts_file), "mixtures of experts");
}

}  // namespace
}  // namespace occ
