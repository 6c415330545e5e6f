#include "io/expect_error_for_test.h"
#include "io/safetensors.h"
#include "model/convert.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

using Texts = std::vector<std::vector<TokenId>>;

class Bert : public testing::Test {
 protected:
  Bert() : tiny_("bert", "plain") {
    const std::vector<TokenId> tokens = tiny_.integers("tokens");
    auto at = tokens.begin();
    for (const TokenId n : tiny_.integers("lengths")) {
      texts_.emplace_back(at, at + n);
      at += n;
    }
  }
  TinyModel tiny_;
  std::vector<std::vector<TokenId>> texts_;
};

TEST_F(Bert, GivesTheEmbeddingsOfTransformers) {
  const Matrix<float> expected = tiny_.expected("embeddings");
  const auto folder = tiny_.open(), gguf = open_tensor_file(tiny_.gguf());
  for (const TensorFile* file : {folder.get(), gguf.get()}) {
    EXPECT_TRUE(is_encoder(*file));
    const auto model = load_encoder(*file, kExact);
    EXPECT_LT(difference_for_test(model->embed(texts_), expected), 1e-5) << file->path();
    EXPECT_LT(difference_for_test(load_encoder(*file)->embed(texts_), expected), 0.05) << file->path();
  }
}

// XLM-R and Nomic-BERT: folder, GGUF with llama.cpp's names, and each converted to the other form.
TEST(Encoders, GiveTheEmbeddingsOfTransformers) {
  for (const auto& [name, variant] :
       {std::pair("roberta", "plain"), {"nomicbert", "plain"}, {"nomicbert", "original"}}) {
    const TinyModel tiny(name, "plain",
                         read_text_for_test(tiny_models_folder() / name / (std::string(variant) + ".config.json")));
    const std::vector<TokenId> tokens = tiny.integers("tokens");
    Texts texts;
    auto at = tokens.begin();
    for (const TokenId n : tiny.integers("lengths")) {
      texts.emplace_back(at, at + n);
      at += n;
    }
    const Matrix<float> expected = tiny.expected("embeddings");
    const auto folder = tiny.open(), gguf = open_tensor_file(tiny.gguf());
    const auto to_gguf = as_gguf(*folder), to_folder = as_hugging_face(*gguf);
    for (const TensorFile* file : {folder.get(), gguf.get(), to_gguf.get(), to_folder.get()}) {
      const auto model = load_encoder(*file, kExact);
      EXPECT_EQ(model->config().max_context, 96u);
      EXPECT_LT(difference_for_test(model->embed(texts), expected), 1e-5) << name << " " << file->format();
      EXPECT_LT(difference_for_test(load_encoder(*file)->embed(texts), expected), 0.05) << name;
    }
  }
}

// Modules of sentence-transformers: y = tanh(W x + b) of the pooled vector, then y / |y|.
TEST_F(Bert, AppliesTheModulesBehindThePooling) {
  const Matrix<float> pooled = tiny_.expected("embeddings");
  const size_t in = pooled.cols(), out = 5;
  std::vector<float> values;  // W, then b
  for (size_t i = 0; i < out * (in + 1); ++i) values.push_back(0.3f * std::sin(static_cast<float>(i)));
  const char* type = R"({"idx": 0, "name": "0", "path": "%", "type": "sentence_transformers.models.@"})";
  const auto module = [&](std::string path, const std::string& name) {
    std::string text = type;
    text.replace(text.find('%'), 1, path);
    return text.replace(text.find('@'), 1, name);
  };
  const std::filesystem::path folder = tiny_.open()->path();
  tiny_.put("modules.json", "[" + module("", "Transformer") + "," + module("2_Dense", "Dense") + "," +
                                module("3_Normalize", "Normalize") + "]");
  tiny_.put("2_Dense/config.json", fmt::format(R"({{"in_features":{},"out_features":{},"bias":true,)"
                                               R"("activation_function":"torch.nn.modules.activation.Tanh"}})",
                                               in, out));
  EXPECT_INPUT_ERROR(tiny_.open(), "model.safetensors: expected the weights of a Dense module, found none");
  SafetensorsWriter writer(folder / "2_Dense/model.safetensors",
                           {{"linear.weight", DType::kF32, {out, in}}, {"linear.bias", DType::kF32, {out}}}, {}, false);
  writer.write(values.data(), values.size() * sizeof(float));
  writer.commit();
  const auto file = tiny_.open();
  const auto model = load_encoder(*file, kExact);
  Matrix<float> expected(pooled.rows(), out);
  for (size_t r = 0; r < pooled.rows(); ++r) {
    for (size_t o = 0; o < out; ++o) {
      float sum = values[out * in + o];
      for (size_t i = 0; i < in; ++i) sum += values[o * in + i] * pooled(r, i);
      expected(r, o) = std::tanh(sum);
    }
    double squares = 0;
    for (size_t o = 0; o < out; ++o)
      squares += static_cast<double>(expected(r, o)) * static_cast<double>(expected(r, o));
    for (size_t o = 0; o < out; ++o) expected(r, o) /= static_cast<float>(std::sqrt(squares));
  }
  EXPECT_LT(difference_for_test(model->embed(texts_), expected), 1e-5);
  EXPECT_EQ(file->tensors()[file->find("2_Dense/linear.weight")].keep, "module behind the pooling");
  tiny_.put("modules.json", "[" + module("2_LSTM", "LSTM") + "]");
  EXPECT_INPUT_ERROR(load_encoder(*tiny_.open(), kExact), "found LSTM");
}

// The first checkpoints call the weights of norms gamma and beta.
TEST_F(Bert, TakesOldNamesOfNorms) {
  class Renamed final : public TensorFile {
   public:
    explicit Renamed(const TensorFile& file) : file_(file), tensors_(file.tensors()) {
      for (TensorInfo& t : tensors_) {
        const size_t at = t.name.find("LayerNorm.");
        if (at != std::string::npos) t.name.replace(at + 10, 6, t.name.substr(at + 10) == "bias" ? "beta" : "gamma");
      }
    }
    std::string path() const override { return file_.path(); }
    std::string format() const override { return file_.format(); }
    const std::vector<TensorInfo>& tensors() const override { return tensors_; }
    void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
      file_.read_f32(i, first, count, out);
    }
    void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
      file_.read_raw(i, first, count, out);
    }
    std::vector<SideFile> side_files() const override { return file_.side_files(); }
    uint64_t file_bytes() const override { return file_.file_bytes(); }

   private:
    const TensorFile& file_;
    std::vector<TensorInfo> tensors_;
  };
  const auto file = tiny_.open();
  const Renamed renamed(*file);
  EXPECT_LT(difference_for_test(load_encoder(renamed, kExact)->embed(texts_), tiny_.expected("embeddings")), 1e-5);
}

TEST_F(Bert, ManyTextsGoThroughInBatches) {
  const auto file = tiny_.open();
  const auto model = load_encoder(*file, kExact);
  std::vector<std::vector<TokenId>> many;
  for (size_t i = 0; i < 60; ++i) many.push_back(texts_[i % texts_.size()]);
  const Matrix<float> all = model->embed(many), few = model->embed(texts_);
  for (size_t i = 0; i < many.size(); ++i) {
    for (size_t c = 0; c < all.cols(); ++c) EXPECT_NEAR(all(i, c), few(i % few.rows(), c), 1e-6);
  }
}

TEST_F(Bert, CutsLongTextsAndKeepsTheirEnd) {
  std::vector<TokenId> text(200, 7);
  text.back() = 9;
  std::vector<TokenId> cut(text.begin(), text.begin() + 96), short_cut(text.begin(), text.begin() + 20);
  cut.back() = short_cut.back() = 9;
  const auto file = tiny_.open();
  const auto model = load_encoder(*file, kExact);
  const Matrix<float> a = model->embed(Texts{text}), b = model->embed(Texts{cut});
  EXPECT_LT(difference_for_test(a, b), 1e-6);
  tiny_.put("sentence_bert_config.json", R"({"max_seq_length": 20})");
  const auto limited_file = tiny_.open();
  const auto limited = load_encoder(*limited_file, kExact);
  EXPECT_LT(difference_for_test(limited->embed(Texts{text}), model->embed(Texts{short_cut})), 1e-6);
}

TEST_F(Bert, PoolsAsTheModelSays) {
  tiny_.put("1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  const auto file = tiny_.open();
  const auto model = load_encoder(*file, kExact);
  EXPECT_EQ(model->config().pooling, Pooling::kFirst);
  const Matrix<float> first = model->embed(texts_), mean = tiny_.expected("embeddings");
  EXPECT_GT(difference_for_test(first, mean), 0.1);
  for (size_t c = 0; c < mean.cols(); ++c) EXPECT_NEAR(first(0, c), mean(0, c), 1e-5) << "a text of one token";
}

TEST_F(Bert, RefusesWhatIsWrong) {
  const auto file = tiny_.open();
  const auto model = load_encoder(*file, kExact);
  EXPECT_INPUT_ERROR(model->embed(Texts{{1, 64}}), "token 64: expected an id below 64");
  EXPECT_INPUT_ERROR(model->embed(Texts{{}}), "at least one token");
  EXPECT_EQ(model->embed({}).rows(), 0u);
  EXPECT_INPUT_ERROR(load_transformer(*file), "expected a causal language model, found the encoder 'bert'");
}

}  // namespace
}  // namespace occ
