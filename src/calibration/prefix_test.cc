// Compares with the inputs that the observer of a running model sees.
#include "calibration/prefix.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/rng.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

class EveryPrefix : public testing::TestWithParam<TinyVariant> {};

std::vector<std::vector<TokenId>> random_texts(std::initializer_list<size_t> lengths, size_t vocab_size) {
  Rng rng(3);
  std::vector<std::vector<TokenId>> texts;
  for (const size_t n : lengths) {
    texts.emplace_back();
    for (size_t t = 0; t < n; ++t) texts.back().push_back(static_cast<TokenId>(rng.below(vocab_size)));
  }
  return texts;
}

// For each tensor, the rows of its inputs from all calls.
using Inputs = std::map<std::string, std::vector<float>>;

void append(MatrixView<const float> x, std::vector<float>* to) {
  for (size_t r = 0; r < x.rows(); ++r) to->insert(to->end(), x.row(r), x.row(r) + x.cols());
}

TEST_P(EveryPrefix, GivesWhatTheModelGivesItsLayers) {
  const TinyModel tiny(GetParam().model, GetParam().name);
  const auto file = tiny.open();
  const ModelConfig config = read_config(*file);
  const auto texts = random_texts({9, 12, 1, 12}, config.vocab_size);
  Inputs expected;
  TransformerOptions options{.arithmetic = Arithmetic::kF32, .observer = {}};
  options.observer = [&](const std::string& tensor, MatrixView<const float> x) { append(x, &expected[tensor]); };
  if (config.encoder) {
    load_encoder(*file, options)->embed(texts);
  } else {
    const auto model = load_transformer(*file, options);
    for (const auto& text : texts) {
      const Matrix<float> hidden = hidden_for_test(*model, text, text.size());
      logits_for_test(*model, hidden);
    }
  }
  const TempFolder scratch;
  Prefix prefix(*file, config, texts, scratch.path());
  EXPECT_EQ(prefix.tokens(), 34);
  size_t tensors = 0;
  const std::vector<ModelPart> parts = model_parts(*file, config);
  EXPECT_EQ(parts.size(), 4 * config.layers + (config.encoder ? 0 : 1));
  for (const ModelPart& part : parts) {
    const std::vector<std::vector<std::string>>& groups = part.groups;
    std::vector<std::vector<float>> inputs(groups.size());
    std::vector<std::vector<size_t>> seen(groups.size());
    prefix.run(part, [&](const Prefix::Inputs& in) {
      EXPECT_EQ(in.tokens.size(), in.rows.rows());
      seen[in.group].insert(seen[in.group].end(), in.tokens.begin(), in.tokens.end());
      append(in.rows, &inputs[in.group]);
    });
    size_t total = 0;
    for (size_t g = 0; g < groups.size(); ++g) {
      total += seen[g].size();
      EXPECT_EQ(std::set<size_t>(seen[g].begin(), seen[g].end()).size(), seen[g].size()) << "no token twice";
      EXPECT_TRUE(std::is_sorted(seen[g].begin(), seen[g].end()));
      for (const std::string& name : groups[g]) {
        ++tensors;
        ASSERT_EQ(inputs[g].size(), expected[name].size()) << name;
        double most = 0, largest = 0;
        for (size_t i = 0; i < inputs[g].size(); ++i) {
          most = std::max(most, std::abs(double{inputs[g][i]} - double{expected[name][i]}));
          largest = std::max(largest, std::abs(double{expected[name][i]}));
        }
        EXPECT_LE(most, 2e-5 * largest) << name;
      }
    }
    EXPECT_EQ(total, prefix.tokens() * (part.of_experts(config) ? config.experts_used : 1));
  }
  EXPECT_EQ(tensors + (config.experts != 0 ? config.layers : 0), expected.size()) << "routers are no part";
}

INSTANTIATE_TEST_SUITE_P(
    Models, EveryPrefix,
    testing::Values(TinyVariant{"llama", "plain"}, TinyVariant{"llama", "llama3"}, TinyVariant{"mistral", "window"},
                    TinyVariant{"qwen2", "window"}, TinyVariant{"qwen3", "plain"}, TinyVariant{"gpt2", "plain"},
                    TinyVariant{"gptneox", "plain"}, TinyVariant{"gptneox", "sequential"}, TinyVariant{"phi3", "long"},
                    TinyVariant{"bert", "plain"}, TinyVariant{"roberta", "plain"}, TinyVariant{"nomicbert", "plain"},
                    TinyVariant{"mixtral", "plain"}, TinyVariant{"olmo2", "plain"}, TinyVariant{"olmo3", "plain"},
                    TinyVariant{"smollm3", "plain"}, TinyVariant{"granite", "plain"}, TinyVariant{"gemma", "plain"},
                    TinyVariant{"gemma2", "plain"}, TinyVariant{"gemma3", "plain"}, TinyVariant{"opt", "plain"},
                    TinyVariant{"ministral3", "plain"}, TinyVariant{"qwen3moe", "raw"}),
    tiny_variant_name<TinyVariant>);

}  // namespace
}  // namespace occ
