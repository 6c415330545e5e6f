// Compares with logits of running models and with the KL computed by its definition.
#include "calibration/reference.h"

#include <cmath>
#include <map>

#include "base/rng.h"
#include "calibration/changed_file.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

std::vector<double> probabilities(const Transformer& model, const std::vector<TokenId>& tokens, size_t at) {
  const Matrix<float> hidden = hidden_for_test(model, tokens, tokens.size());
  const Matrix<float> logits = logits_for_test(model, hidden);
  std::vector<double> p;
  double sum = 0;
  for (size_t v = 0; v < logits.cols(); ++v) sum += p.emplace_back(std::exp(double{logits(at, v)}));
  for (double& x : p) x /= sum;
  return p;
}

TEST(Divergence, IsTheMeanOfTheDefinition) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  ChangedFile changed(*file);
  const std::string tensor = "model.norm.weight";
  std::vector<float> values(file->tensors()[file->find(tensor)].elements());
  file->read_f32(file->find(tensor), 0, values.size(), values.data());
  for (size_t i = 0; i < values.size(); ++i) values[i] *= i % 2 == 0 ? 1.3f : 0.8f;
  changed.replace(tensor, values);
  const std::vector<std::vector<TokenId>> texts = {{1, 5, 9, 2}, {3, 8}};
  const TransformerOptions options{.arithmetic = Arithmetic::kF32, .observer = {}};
  const auto a = load_transformer(*file, options), b = load_transformer(changed, options);
  double sum = 0;
  for (const auto& text : texts) {
    for (size_t t = 0; t < text.size(); ++t) {
      const std::vector<double> p = probabilities(*a, text, t), q = probabilities(*b, text, t);
      for (size_t v = 0; v < p.size(); ++v) sum += p[v] * std::log(p[v] / q[v]);
    }
  }
  const TempFolder scratch;
  const double kl = divergence(changed, *file, texts, scratch.path());
  EXPECT_GT(kl, 1e-4);
  EXPECT_NEAR(kl, sum / 6, 1e-3 * kl);
  EXPECT_LT(divergence(*file, *file, texts, scratch.path()), 1e-6);
}

// The first tokens are given; the distribution of the second tokens must be the one the model predicts.
TEST(Samples, FollowThePredictions) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  constexpr size_t kCount = 2000;
  Sequences beginnings;
  for (size_t i = 0; i < kCount; ++i) beginnings.push_back({static_cast<TokenId>(i % read_config(*file).vocab_size)});
  const auto samples = sample_sequences(*file, beginnings, 2, 7);
  ASSERT_EQ(samples.size(), kCount);
  const auto model = load_transformer(*file, {.arithmetic = Arithmetic::kF32, .observer = {}});
  std::map<TokenId, std::vector<double>> known;
  double likely = 0, expected = 0, variance = 0;  // sum of p(second token), its expected value and its variance
  for (const auto& s : samples) {
    ASSERT_EQ(s.size(), 2);
    auto& p = known[s[0]];
    if (p.empty()) p = probabilities(*model, {s[0]}, 0);
    double mean = 0, square = 0;
    for (const double x : p) {
      mean += x * x;
      square += x * x * x;
    }
    likely += p[static_cast<size_t>(s[1])];
    expected += mean;
    variance += square - mean * mean;
  }
  EXPECT_NEAR(likely, expected, 4 * std::sqrt(variance) + 1e-9);
  EXPECT_EQ(samples, sample_sequences(*file, beginnings, 2, 7));
  EXPECT_NE(samples, sample_sequences(*file, beginnings, 2, 8));
}

}  // namespace
}  // namespace occ
