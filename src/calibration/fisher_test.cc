// Compares the predicted cost of errors with measured KL divergences of a small real model.
#include "calibration/fisher.h"

#include <cmath>

#include "base/rng.h"
#include "calibration/changed_file.h"
#include "evaluation/embeddings.h"
#include "evaluation/perplexity.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

constexpr size_t kContext = 256;

std::string text_for_test(const std::filesystem::path& path, size_t bytes) {
  return read_text_for_test(path).substr(0, bytes);
}

// Returns Gaussian noise for a tensor; its energy is `relative` times that of the tensor.
Matrix<float> noise_for(const TensorFile& file, size_t tensor, double relative, uint64_t seed) {
  const TensorRows source(file, tensor);
  Matrix<float> values = Matrix<float>::uninitialized(source.shape().rows, source.shape().cols);
  source.read_rows(0, values.view());
  double energy = 0;
  for (size_t i = 0; i < values.size(); ++i) energy += double{values.data()[i]} * double{values.data()[i]};
  const double sigma = std::sqrt(relative * energy / static_cast<double>(values.size()));
  Rng rng(seed);
  for (size_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(sigma * rng.normal());
  return values;
}

class FisherOfStories : public testing::Test {
 protected:
  void SetUp() override {
    OCC_REQUIRE_DATA(folder, "models/stories260k");
    OCC_REQUIRE_DATA(text, "text/tinystories_a.txt");
    file_ = open_tensor_file(folder);
    tokenizer_ = make_tokenizer(*file_);
    text_ = text_for_test(text, 8000);
    const std::vector<TokenId> tokens = tokenizer_->encode(text_, {.add_special = true, .parse_special = false});
    for (size_t i = 0; i + kContext <= tokens.size(); i += kContext) {
      sequences_.emplace_back(tokens.begin() + static_cast<ptrdiff_t>(i),
                              tokens.begin() + static_cast<ptrdiff_t>(i + kContext));
      sequences_.back()[0] = tokenizer_->bos().value_or(sequences_.back()[0]);
    }
  }

  Fisher fisher(FisherOptions options = {}) const {
    const TempFolder scratch;
    GradientModel model(*file_, scratch.path(), true);
    options.first = kContext / 2;  // the second half of a sequence is scored, as for perplexity
    return measure_fisher(model, sequences_, options);
  }

  std::unique_ptr<TensorFile> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::string text_;
  std::vector<std::vector<TokenId>> sequences_;
};

TEST_F(FisherOfStories, PredictsTheCostOfNoise) {
  const Fisher fisher = this->fisher();
  const TransformerOptions exact{Arithmetic::kF32, {}};
  const auto reference = load_transformer(*file_, exact);
  size_t measured = 0;
  for (size_t i = 0; i < file_->tensors().size(); ++i) {
    const std::string& name = file_->tensors()[i].name;
    if (file_->tensors()[i].shape.size() != 2) continue;
    if (name.find("layers.") != std::string::npos && name.find("layers.1.") == std::string::npos) continue;
    const Matrix<float> noise = noise_for(*file_, i, 3e-3, 7);
    double predicted = 0;
    if (const auto at = fisher.linear.find(name); at != fisher.linear.end()) {
      predicted += predicted_kl(at->second, noise.view());
    }
    if (const auto at = fisher.embeddings.find(name); at != fisher.embeddings.end()) {
      predicted += predicted_kl(at->second, noise.view());
    }
    if (predicted == 0) continue;
    ChangedFile changed(*file_);
    std::vector<float> values(noise.size());
    file_->read_f32(i, 0, values.size(), values.data());
    for (size_t e = 0; e < values.size(); ++e) values[e] += noise.data()[e];
    changed.replace(name, std::move(values));
    const auto model = load_transformer(changed, exact);
    const PerplexityResult found =
        measure_perplexity(*model, *tokenizer_, text_, "text", reference.get(), {kContext, 0, {}});
    const double ratio = found.divergence->kl_mean / predicted;
    EXPECT_GT(ratio, 1 / 1.4) << name << " predicted " << predicted;
    EXPECT_LT(ratio, 1.4) << name << " predicted " << predicted;
    ++measured;
  }
  EXPECT_EQ(measured, 8u);
}

// The errors are the same in all rows, so the costs of the single rows do not predict their joint cost.
TEST_F(FisherOfStories, CorrelationsPredictTheCostOfErrorsOfAllRows) {
  const std::string name = "model.layers.1.self_attn.q_proj.weight";
  const size_t i = file_->find(name);
  ASSERT_LT(i, file_->tensors().size());
  FisherOptions options;
  options.correlations = options.token_energies = {name};
  const TensorFisher fisher = this->fisher(options).linear.at(name);
  const size_t rows = fisher.rows.size();
  ASSERT_EQ(fisher.correlations.size(), rows * (rows + 1) / 2);
  ASSERT_EQ(fisher.token_energy.size(), sequences_.size() * kContext);
  Matrix<float> noise = noise_for(*file_, i, 1e-3, 7);
  for (size_t r = 1; r < rows; ++r) std::copy_n(noise.row(0), noise.cols(), noise.row(r));
  double alone = 0, together = 0;
  for (size_t r = 0, at = 0; r < rows; ++r) {
    for (size_t s = 0; s <= r; ++s, ++at) {
      const double cost = std::sqrt(fisher.rows[r] * fisher.rows[s]) * 0x1p-15 * fisher.correlations[at];
      if (r == s) alone += cost;
      together += r == s ? cost : 2 * cost;
    }
  }
  const double predicted = predicted_kl(fisher, noise.view()) * together / alone;
  ChangedFile changed(*file_);
  std::vector<float> values(noise.size());
  file_->read_f32(i, 0, values.size(), values.data());
  for (size_t e = 0; e < values.size(); ++e) values[e] += noise.data()[e];
  changed.replace(name, std::move(values));
  const TransformerOptions exact{Arithmetic::kF32, {}};
  const auto model = load_transformer(changed, exact), reference = load_transformer(*file_, exact);
  const double measured =
      measure_perplexity(*model, *tokenizer_, text_, "text", reference.get(), {kContext, 0, {}}).divergence->kl_mean;
  const double ratio = measured / predicted, ratio_alone = ratio * together / alone;
  EXPECT_LT(std::fabs(std::log(ratio)), std::log(1.6)) << ratio;
  EXPECT_LT(std::fabs(std::log(ratio)), 0.7 * std::fabs(std::log(ratio_alone))) << ratio << ", alone " << ratio_alone;
}

TEST_F(FisherOfStories, MomentsAreThoseOfTheInputs) {
  sequences_.resize(3);
  const Fisher fisher = this->fisher();
  EXPECT_EQ(fisher.tokens, 3 * kContext);
  EXPECT_EQ(fisher.scored, 3 * kContext / 2);
  std::map<std::string, Matrix<double>> expected;
  TransformerOptions options{Arithmetic::kF32, {}};
  options.observer = [&](const std::string& tensor, MatrixView<const float> x) {
    Matrix<double>& h = expected.try_emplace(tensor, x.cols(), x.cols()).first->second;
    for (size_t t = 0; t < x.rows(); ++t) {
      for (size_t i = 0; i < x.cols(); ++i) {
        for (size_t j = 0; j < x.cols(); ++j) h(i, j) += double{x(t, i)} * double{x(t, j)};
      }
    }
  };
  const auto model = load_transformer(*file_, options);
  for (const std::vector<TokenId>& s : sequences_) hidden_for_test(*model, s, 1000);
  EXPECT_GT(expected.size(), 30u);
  for (const auto& [tensor, h] : expected) {
    const Matrix<double>& found = *fisher.linear.at(tensor).moments;
    double trace = 0;
    for (size_t i = 0; i < h.rows(); ++i) trace += h(i, i) / static_cast<double>(fisher.tokens);
    EXPECT_NEAR(fisher.linear.at(tensor).input_energy, trace, 1e-4 * trace) << tensor;
    for (size_t i = 0; i < h.size(); ++i) {
      ASSERT_NEAR(found.data()[i], h.data()[i] / static_cast<double>(fisher.tokens), 1e-5 * trace) << tensor;
    }
  }
}

TEST_F(FisherOfStories, WhiteNoiseNeedsNoMoments) {
  sequences_.resize(2);
  const Fisher with = fisher(), without = fisher({.moments = false});
  for (const auto& [tensor, f] : with.linear) {
    Matrix<float> noise(f.rows.size(), f.moments->rows());
    Rng rng(1);
    for (size_t i = 0; i < noise.size(); ++i) noise.data()[i] = static_cast<float>(rng.normal());
    const double a = predicted_kl(f, noise.view()), b = predicted_kl(without.linear.at(tensor), noise.view());
    EXPECT_NEAR(a / b, 1, 0.25) << tensor;
  }
}

TEST(FisherOfEncoder, PredictsTheCostOfNoise) {
  const TinyModel tiny("bert", "plain");
  const auto file = tiny.open();
  const ModelConfig config = read_config(*file);
  Rng rng(1);
  std::vector<std::vector<TokenId>> texts(200);
  for (std::vector<TokenId>& text : texts) {
    text.resize(10 + rng.below(20));
    for (TokenId& token : text) token = static_cast<TokenId>(rng.below(config.vocab_size));
  }
  const TempFolder scratch;
  GradientModel gradients(*file, scratch.path(), true);
  const Fisher fisher = measure_fisher(gradients, texts);
  EXPECT_EQ(fisher.scored, texts.size());
  EXPECT_EQ(fisher.linear.size(), 6 * config.layers);
  const Matrix<float> reference = load_encoder(*file, {Arithmetic::kF32, {}})->embed(texts);
  for (const auto* parts : {&fisher.linear, &fisher.embeddings}) {
    for (const auto& [tensor, f] : *parts) {
      if (f.rows.size() == 1) continue;  // token types: a table with one row
      const size_t i = file->find(tensor);
      double measured = 0, predicted = 0;
      // Several draws, because the noise of a small tensor has few directions.
      for (uint64_t seed = 0; seed < 16; ++seed) {
        const Matrix<float> noise = noise_for(*file, i, 1e-3, seed);
        ChangedFile changed(*file);
        std::vector<float> values(noise.size());
        file->read_f32(i, 0, values.size(), values.data());
        for (size_t e = 0; e < values.size(); ++e) values[e] += noise.data()[e];
        changed.replace(tensor, std::move(values));
        const Matrix<float> found = load_encoder(changed, {Arithmetic::kF32, {}})->embed(texts);
        for (const double c : row_cosines(found.view(), reference.view())) {
          measured += (1 - c) / static_cast<double>(texts.size());
        }
        predicted += predicted_kl(f, noise.view());
      }
      EXPECT_GT(measured / predicted, 1 / 1.4) << tensor << " predicted " << predicted;
      EXPECT_LT(measured / predicted, 1.4) << tensor << " predicted " << predicted;
    }
  }
}

// Errors of an expert count at the tokens that it gets. Only the last layer is changed, because other changes could
// send tokens to other experts.
TEST(FisherOfExperts, PredictsTheCostOfNoise) {
  for (const char* name : {"mixtral", "qwen3moe"}) {
    const TinyModel tiny(name, "plain");
    const auto file = tiny.open();
    const ModelConfig config = read_config(*file);
    std::vector<std::vector<TokenId>> sequences(40);
    Rng rng(5);
    for (auto& s : sequences) {
      for (size_t t = 0; t < 60; ++t) s.push_back(static_cast<TokenId>(rng.below(config.vocab_size)));
    }
    const TempFolder scratch;
    GradientModel model(*file, scratch.path(), true);
    const Fisher exact = measure_fisher(model, sequences),
                 independent = measure_fisher(model, sequences, {.exact = false});
    Matrix<float> hidden(sequences.size() * 60, config.dim), logits(hidden.rows(), config.vocab_size);
    model.hidden(sequences, hidden.view());
    model.logits(hidden.view(), logits.view());
    size_t measured = 0;
    for (size_t i = 0; i < file->tensors().size(); ++i) {
      const std::string& tensor = file->tensors()[i].name;
      if (tensor.find("layers.1.") == std::string::npos || tensor.find("experts.1.") == std::string::npos) continue;
      const Matrix<float> noise = noise_for(*file, i, 1e-3, 7);
      ChangedFile changed(*file);
      std::vector<float> values(noise.size());
      file->read_f32(i, 0, values.size(), values.data());
      for (size_t e = 0; e < values.size(); ++e) values[e] += noise.data()[e];
      changed.replace(tensor, std::move(values));
      GradientModel other(changed, scratch.path(), true);
      const double sum = other.evaluate(sequences, [&](size_t first, MatrixView<float> q) {
        double kl = 0;
        for (size_t r = 0; r < q.rows(); ++r) {
          double zp = 0, zq = 0;
          for (size_t v = 0; v < q.cols(); ++v) {
            zp += std::exp(double{logits(first + r, v)});
            zq += std::exp(double{q(r, v)});
          }
          for (size_t v = 0; v < q.cols(); ++v) {
            const double lp = double{logits(first + r, v)} - std::log(zp), lq = double{q(r, v)} - std::log(zq);
            kl += std::exp(lp) * (lp - lq);
          }
        }
        return kl;
      });
      for (const Fisher* fisher : {&exact, &independent}) {
        const double predicted = predicted_kl(fisher->linear.at(tensor), noise.view());
        EXPECT_NEAR(sum / static_cast<double>(logits.rows()) / predicted, 1, 0.3) << tensor;
      }
      ++measured;
    }
    EXPECT_EQ(measured, 3u);
  }
}

TEST(Fisher, IsPackedExactly) {
  Fisher fisher;
  fisher.tokens = 1000, fisher.scored = 990;
  fisher.linear["a"] = {{1.5, 0, 1e-300}, 2.25, nullptr, {0.5f, 2e-30f}, {1, -2, 0x7fff}};
  fisher.linear["b"] = {{}, 0, nullptr, {}, {}};
  fisher.embeddings["a"] = {{0.1}, 1, nullptr, {}, {}};
  const Bytes bytes = pack_fisher(fisher);
  const std::optional<Fisher> back = unpack_fisher(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->tokens, 1000u);
  EXPECT_EQ(back->scored, 990u);
  EXPECT_EQ(back->linear.size(), 2u);
  EXPECT_EQ(back->linear.at("a").rows, fisher.linear["a"].rows);
  EXPECT_EQ(back->linear.at("a").input_energy, 2.25);
  EXPECT_EQ(back->linear.at("a").token_energy, fisher.linear["a"].token_energy);
  EXPECT_EQ(back->linear.at("a").correlations, fisher.linear["a"].correlations);
  EXPECT_EQ(back->embeddings.at("a").rows, fisher.embeddings["a"].rows);
  EXPECT_EQ(pack_fisher(*back), bytes);
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(unpack_fisher({bytes.data(), n})) << n;
}

}  // namespace
}  // namespace occ
