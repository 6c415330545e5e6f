// Logits are compared with those of Transformer, gradients with differences of losses. Losses are summed in double from
// logits in float, so that a difference of about 0.4 has a relative error of about 0.001.
#include "calibration/gradients.h"

#include <cmath>
#include <map>

#include "base/parallel.h"
#include "base/rng.h"
#include "calibration/changed_file.h"
#include "calibration/reference.h"
#include "io/expect_error_for_test.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

Sequences random_sequences(std::initializer_list<size_t> lengths, size_t vocab_size, uint64_t seed) {
  Rng rng(seed);
  Sequences out;
  for (const size_t n : lengths) {
    out.emplace_back();
    for (size_t t = 0; t < n; ++t) out.back().push_back(static_cast<TokenId>(rng.below(vocab_size)));
  }
  return out;
}

// Cross entropy with labels and weights that depend only on the number of the token. The weight of every 7th token is
// 0.
double loss_of(size_t first, MatrixView<float> logits) {
  double sum = 0;
  for (size_t r = 0; r < logits.rows(); ++r) {
    const size_t n = logits.cols(), label = random_word(5, first + r) % n;
    const double weight = (first + r) % 7 == 3 ? 0 : 0.5 + static_cast<double>((first + r) % 3);
    float* row = logits.row(r);
    double partition = 0;
    for (size_t v = 0; v < n; ++v) partition += std::exp(double{row[v]});
    sum -= weight * (double{row[label]} - std::log(partition));
    for (size_t v = 0; v < n; ++v) {
      row[v] = static_cast<float>(weight * (std::exp(double{row[v]}) / partition - (v == label ? 1 : 0)));
    }
  }
  return sum;
}

// A loss for encoders: a linear function of the cubes of the embedding, with other coefficients for every text.
double embedding_loss(size_t first, MatrixView<float> embeddings) {
  double sum = 0;
  for (size_t r = 0; r < embeddings.rows(); ++r) {
    for (size_t c = 0; c < embeddings.cols(); ++c) {
      const double x = double{embeddings(r, c)}, factor = double(random_word(9, 1000 * (first + r) + c) % 7) - 3;
      sum += factor * x * x * x;
      embeddings(r, c) = static_cast<float>(3 * factor * x * x);
    }
  }
  return sum;
}

// Collects the gradients of whole tensors.
class Collector final : public GradientObserver {
 public:
  explicit Collector(const TensorFile& file) : file_(file) {}
  void linear(const LinearGradients& g) override {
    const std::string& tensor = g.tensor;
    const MatrixView<const float> x = g.inputs, dy = g.gradients;
    EXPECT_EQ(x.rows(), dy.rows());
    std::vector<double>& to = of(tensor);
    ASSERT_EQ(to.size(), x.cols() * dy.cols()) << tensor;
    // Conv1D layers (GPT-2) store their weight as [in, out].
    const auto& info = file_.tensors()[file_.find(tensor)];
    const bool transposed = tensor.find(".c_") != std::string::npos;
    ASSERT_EQ(info.shape[0], transposed ? x.cols() : dy.cols()) << tensor;
    for (size_t t = 0; t < x.rows(); ++t) {
      for (size_t o = 0; o < dy.cols(); ++o) {
        for (size_t i = 0; i < x.cols(); ++i) {
          to[transposed ? i * dy.cols() + o : o * x.cols() + i] += double{dy(t, o)} * double{x(t, i)};
        }
      }
    }
  }
  void embedding(const std::string& tensor, std::span<const uint32_t> rows, MatrixView<const float> dx) override {
    std::vector<double>& to = of(tensor);
    for (size_t t = 0; t < rows.size(); ++t) {
      for (size_t i = 0; i < dx.cols(); ++i) to[rows[t] * dx.cols() + i] += double{dx(t, i)};
    }
  }
  void vector(const std::string& tensor, std::span<const float> gradient) override {
    std::vector<double>& to = of(tensor);
    ASSERT_EQ(to.size(), gradient.size()) << tensor;
    for (size_t i = 0; i < gradient.size(); ++i) to[i] += double{gradient[i]};
  }
  std::map<std::string, std::vector<double>> all;

 private:
  std::vector<double>& of(const std::string& tensor) {
    const size_t i = file_.find(tensor);
    EXPECT_LT(i, file_.tensors().size()) << tensor;
    std::vector<double>& to = all[tensor];
    to.resize(file_.tensors()[i].elements());
    return to;
  }
  const TensorFile& file_;
};

class Nothing final : public GradientObserver {
 public:
  void linear(const LinearGradients&) override {}
  void embedding(const std::string&, std::span<const uint32_t>, MatrixView<const float>) override {}
  void vector(const std::string&, std::span<const float>) override {}
};

double loss_at(const TensorFile& file, const Sequences& sequences) {
  const TempFolder folder;
  GradientModel model(file, folder.path(), false);
  return model.evaluate(sequences, model.config().encoder ? embedding_loss : loss_of);
}

std::map<std::string, std::vector<double>> gradients_at(const TensorFile& file, const Sequences& sequences,
                                                        bool keep = false) {
  const TempFolder folder;
  Collector collector(file);
  GradientModel model(file, folder.path(), keep);
  model.run(sequences, model.config().encoder ? embedding_loss : loss_of, collector);
  return std::move(collector.all);
}

// Moves each tensor by +-h along a direction: its gradient with a random half of the elements set to 0. The step h is
// chosen such that the loss changes by about +-0.2.
void expect_differences(const TensorFile& file, const Sequences& sequences) {
  const auto gradients = gradients_at(file, sequences);
  Rng rng(3);
  size_t seen = 0;
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const TensorInfo& info = file.tensors()[i];
    const auto found = gradients.find(info.name);
    if (found == gradients.end()) continue;
    ++seen;
    std::vector<double> direction = found->second;
    double slope = 0;
    for (double& d : direction) {
      if (rng.below(2) == 0) d = 0;
      slope += d * d;
    }
    // A bias of the keys changes all scores of a query by the same amount, so its gradient is 0.
    double largest = 0;
    for (const double d : found->second) largest = std::max(largest, std::abs(d));
    if (largest < 1e-4) continue;
    const double h = std::min(0.2 / slope, 0.02 / std::sqrt(slope));
    double losses[2];
    for (const int sign : {0, 1}) {
      ChangedFile changed(file);
      std::vector<float> values(info.elements());
      file.read_f32(i, 0, values.size(), values.data());
      for (size_t e = 0; e < values.size(); ++e) {
        values[e] = static_cast<float>(double{values[e]} + (sign == 0 ? -h : h) * direction[e]);
      }
      changed.replace(info.name, std::move(values));
      losses[sign] = loss_at(changed, sequences);
    }
    EXPECT_NEAR((losses[1] - losses[0]) / (2 * h * slope), 1, 0.02)
        << info.name << ": expected a change of " << 2 * h * slope << ", found " << losses[1] - losses[0];
  }
  EXPECT_GT(seen, 10u);
}

struct Variant {
  const char* model;
  const char* name;
  uint64_t seed = 2;  // seed of the tokens, chosen such that no token changes its experts because of the steps
};

class Gradients : public testing::TestWithParam<Variant> {
 protected:
  Gradients() : tiny_(GetParam().model, GetParam().name) {}
  TinyModel tiny_;
};

TEST_P(Gradients, ForwardGivesTheLogitsOfTransformer) {
  const auto file = tiny_.open();
  const auto model = load_transformer(*file, {Arithmetic::kF32, {}});
  const size_t vocab_size = model->config().vocab_size;
  const Sequences sequences = random_sequences({5, 1, 80, 33}, vocab_size, 1);
  const TempFolder folder;
  Nothing nothing;
  Matrix<float> found(119, vocab_size);
  GradientModel(*file, folder.path(), true)
      .run(
          sequences,
          [&](size_t first, MatrixView<float> logits) {
            for (size_t r = 0; r < logits.rows(); ++r) std::copy_n(logits.row(r), vocab_size, found.row(first + r));
            return 0;
          },
          nothing);
  size_t row = 0;
  for (const std::vector<TokenId>& s : sequences) {
    const Matrix<float> expected = logits_for_test(*model, hidden_for_test(*model, s, 1000));
    Matrix<float> part(s.size(), vocab_size);
    std::copy_n(found.row(row), part.size(), part.data());
    EXPECT_LT(difference_for_test(part, expected), 1e-4);
    row += s.size();
  }
}

TEST_P(Gradients, AreThoseOfDifferences) {
  const auto file = tiny_.open();
  expect_differences(*file, random_sequences({17, 1, 30}, read_config(*file).vocab_size, GetParam().seed));
}

TEST_P(Gradients, AreTheSameWithWeightsKept) {
  const auto file = tiny_.open();
  const Sequences sequences = random_sequences({17, 30}, read_config(*file).vocab_size, 2);
  EXPECT_EQ(gradients_at(*file, sequences, true), gradients_at(*file, sequences, false));
}

INSTANTIATE_TEST_SUITE_P(
    Models, Gradients,
    testing::Values(Variant{"llama", "plain"}, Variant{"llama", "llama3"}, Variant{"llama", "yarn"},
                    Variant{"llama-bias", "plain"}, Variant{"mistral", "window"}, Variant{"qwen2", "plain"},
                    Variant{"qwen2", "window"}, Variant{"qwen3", "plain"}, Variant{"gpt2", "plain"},
                    Variant{"gptneox", "plain"}, Variant{"gptneox", "sequential"}, Variant{"phi3", "long"},
                    Variant{"phi3", "short"}, Variant{"mixtral", "plain", 12}, Variant{"olmo2", "plain"},
                    Variant{"olmo3", "plain"}, Variant{"smollm3", "plain"}, Variant{"granite", "plain"},
                    Variant{"gemma", "plain"}, Variant{"gemma2", "plain"}, Variant{"gemma3", "plain"},
                    Variant{"opt", "plain"}, Variant{"ministral3", "plain"}, Variant{"qwen3moe", "plain"},
                    Variant{"qwen3moe", "raw", 3}),
    tiny_variant_name<Variant>);

TEST(GradientModel, ReadsGguf) {
  for (const char* model : {"llama", "gpt2", "gptneox", "phi3"}) {
    const TinyModel tiny(model, std::string(model) == "phi3" ? "long" : "plain");
    const auto hf = tiny.open(), gguf = open_tensor_file(tiny.gguf());
    const Sequences sequences = random_sequences({20, 20}, 60, 4);
    EXPECT_NEAR(loss_at(*gguf, sequences) / loss_at(*hf, sequences), 1, 1e-5) << model;
    expect_differences(*gguf, sequences);
  }
}

TEST(GradientModel, TakesEncoders) {
  for (const char* name : {"bert", "roberta", "nomicbert"}) {
    const TinyModel tiny(name, "plain");
    const auto file = tiny.open(), gguf = open_tensor_file(tiny.gguf());
    const Sequences texts = random_sequences({17, 1, 30}, read_config(*file).vocab_size, 2);
    const auto encoder = load_encoder(*file, {Arithmetic::kF32, {}});
    const Matrix<float> expected = encoder->embed(texts);
    const TempFolder folder;
    GradientModel model(*file, folder.path(), true);
    model.evaluate(texts, [&](size_t, MatrixView<float> found) {
      Matrix<float> copy(found.rows(), found.cols());
      std::copy_n(found.data(), found.size(), copy.data());
      EXPECT_LT(difference_for_test(copy, expected), 1e-5);
      return 0;
    });
    expect_differences(*file, texts);
    expect_differences(*gguf, texts);
  }
}

// Sequences with several blocks of queries, with and without an attention window that ends inside a block, and with
// several panels.
TEST(GradientModel, TakesLongSequences) {
  for (const Variant v : {Variant{"llama", "plain"}, Variant{"mistral", "window"}}) {
    const TinyModel tiny(v.model, v.name);
    const auto file = tiny.open();
    const Sequences sequences = random_sequences({300, 1100, 2, 500, 600}, read_config(*file).vocab_size, 4);
    Sequences one(sequences.begin() + 1, sequences.begin() + 2);
    const auto model = load_transformer(*file, {Arithmetic::kF32, {}});
    const Matrix<float> logits = logits_for_test(*model, hidden_for_test(*model, one[0], 1000));
    Matrix<float> copy = logits.clone();
    EXPECT_NEAR(loss_at(*file, one) / loss_of(0, copy.view()), 1, 1e-5);
    expect_differences(*file, sequences);
  }
}

TEST(GradientModel, DoesNotDependOnThreads) {
  const TinyModel tiny("qwen3", "plain");
  const auto file = tiny.open();
  const Sequences sequences = random_sequences({300, 900, 700}, read_config(*file).vocab_size, 4);
  const auto many = gradients_at(*file, sequences);
  const ThreadLimit limit(1);
  EXPECT_EQ(gradients_at(*file, sequences), many);
}

// A pass that begins at the inputs of any layer gives the same loss and gradients as the whole model.
TEST(GradientModel, BeginsInTheMiddle) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const Sequences sequences = random_sequences({7, 12}, read_config(*file).vocab_size, 4);
  const auto expected = gradients_at(*file, sequences);
  const TempFolder folder;
  GradientModel model(*file, folder.path(), true);
  Matrix<float> states(19, model.config().dim);
  for (size_t layer = 0; layer <= model.config().layers; ++layer) {
    model.advance(sequences, layer == 0, layer == 0 ? 0 : layer - 1, layer, states.view());
    EXPECT_NEAR(model.evaluate(sequences, loss_of, {layer, states.view()}), loss_at(*file, sequences), 1e-4);
    Collector collector(*file);
    model.run(sequences, loss_of, collector, {layer, states.view()});
    EXPECT_EQ(collector.all.contains(model.head_tensor()), true);
    for (const auto& [tensor, gradient] : collector.all) {
      // A tied embedding gets only the part of its gradient that comes from the head.
      if (tensor == model.embedding_tensor()) continue;
      const std::vector<double>& truth = expected.at(tensor);
      for (size_t i = 0; i < gradient.size(); ++i) EXPECT_NEAR(gradient[i], truth[i], 1e-4) << tensor;
    }
  }
}

TEST(GradientModel, TakesOtherVectors) {
  for (const bool keep : {false, true}) {
    const TinyModel tiny("qwen2", "plain");
    const auto file = tiny.open();
    const Sequences sequences = random_sequences({30}, read_config(*file).vocab_size, 4);
    const TempFolder folder;
    GradientModel model(*file, folder.path(), keep);
    ChangedFile changed(*file);
    Nothing nothing;
    const double before = model.run(sequences, loss_of, nothing);
    for (const char* name :
         {"model.layers.1.self_attn.k_proj.bias", "model.layers.0.input_layernorm.weight", "model.norm.weight"}) {
      const size_t i = file->find(name);
      std::vector<float> values(file->tensors()[i].elements());
      file->read_f32(i, 0, values.size(), values.data());
      for (size_t e = 0; e < values.size(); ++e) values[e] += 0.1f * static_cast<float>(e % 5);
      changed.replace(name, values);
      model.set_vector(name, values);
      EXPECT_DOUBLE_EQ(model.run(sequences, loss_of, nothing), loss_at(changed, sequences)) << name;
      EXPECT_NE(loss_at(changed, sequences), before);
    }
    EXPECT_USAGE_ERROR(model.set_vector("model.norm.bias", {}), "'model.norm.bias'");
    EXPECT_USAGE_ERROR(model.set_vector("model.norm.weight", {1}), "found 1");
  }
}

TEST(GradientModel, TakesFactorsOfRows) {
  const TinyModel separate("qwen2", "plain"), joined("phi3", "plain");
  for (const bool keep : {false, true}) {
    for (const auto& [tiny, names] :
         {std::pair(&separate, std::vector<std::string>{"self_attn.k_proj", "mlp.down_proj"}),
          std::pair(&joined, std::vector<std::string>{"self_attn.qkv_proj"})}) {
      const auto file = tiny->open();
      const Sequences sequences = random_sequences({30}, read_config(*file).vocab_size, 4);
      const TempFolder folder;
      GradientModel model(*file, folder.path(), keep);
      Nothing nothing;
      const double before = model.run(sequences, loss_of, nothing);
      ChangedFile changed(*file);
      for (const std::string& part : names) {
        const std::string name = "model.layers.1." + part + ".weight";
        const size_t i = file->find(name), rows = file->tensors()[i].shape[0];
        for (const float step : {0.02f, -0.01f}) {  // the second call replaces the factors of the first
          std::vector<float> values(file->tensors()[i].elements()), factors(rows);
          file->read_f32(i, 0, values.size(), values.data());
          for (size_t r = 0; r < rows; ++r) factors[r] = 1 + step * static_cast<float>(r % 7);
          for (size_t e = 0; e < values.size(); ++e) values[e] *= factors[e / (values.size() / rows)];
          changed.replace(name, values);
          model.set_row_factors(name, factors);
          EXPECT_NEAR(model.run(sequences, loss_of, nothing) / loss_at(changed, sequences), 1, 1e-6) << name;
          EXPECT_GT(std::abs(loss_at(changed, sequences) / before - 1), 1e-5);
        }
      }
      EXPECT_USAGE_ERROR(model.set_row_factors("model.layers.0." + names[0] + ".weight", {1}), "found 1");
      EXPECT_USAGE_ERROR(model.set_row_factors("model.embed_tokens.weight", {1}), "weight of a linear layer");
    }
  }
}

TEST(GradientModel, RefusesWhatDoesNotFit) {
  const TempFolder folder;
  Nothing nothing;
  const TinyModel bert("bert", "plain"), gpt2("gpt2", "plain");
  const auto encoder = bert.open(), file = gpt2.open();
  GradientModel texts(*encoder, folder.path(), false);
  EXPECT_INPUT_ERROR(texts.run(Sequences{{1}, {}}, embedding_loss, nothing), "at least one token");
  GradientModel model(*file, folder.path(), false);
  EXPECT_USAGE_ERROR(model.run(Sequences{std::vector<TokenId>(129, 1)}, loss_of, nothing), "at most 128 tokens");
  EXPECT_INPUT_ERROR(model.run(Sequences{{1, 64}}, loss_of, nothing), "token 64");
  EXPECT_EQ(model.run(Sequences{{}}, loss_of, nothing), 0);
}

}  // namespace
}  // namespace occ
