#include "calibration/tune.h"

#include <cmath>

#include "base/rng.h"
#include "calibration/changed_file.h"
#include "io/expect_error_for_test.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

using Sequences = std::vector<std::vector<TokenId>>;

Sequences stories_for_test(const TensorFile& file, const std::filesystem::path& text, size_t count, size_t length) {
  const auto tokenizer = make_tokenizer(file);
  const std::vector<TokenId> tokens = tokenizer->encode(read_text_for_test(text).substr(0, count * length * 4),
                                                        {.add_special = true, .parse_special = false});
  Sequences out;
  for (size_t i = 0; i < count; ++i) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i * length);
    out.emplace_back(begin, begin + static_cast<ptrdiff_t>(length));
  }
  return out;
}

std::vector<float> values_of(const TensorFile& file, size_t tensor) {
  std::vector<float> values(file.tensors()[tensor].elements());
  file.read_f32(tensor, 0, values.size(), values.data());
  return values;
}

// Mean KL over the tokens of every 8th sequence, computed with the transformers themselves.
double held_out_kl(const TensorFile& file, const TensorFile& reference, const Sequences& sequences) {
  const auto model = load_transformer(file, {Arithmetic::kF32, {}}),
             truth = load_transformer(reference, {Arithmetic::kF32, {}});
  double sum = 0;
  size_t count = 0;
  for (size_t i = 7; i < sequences.size(); i += 8) {
    const Matrix<float> q = logits_for_test(*model, hidden_for_test(*model, sequences[i], 1000));
    const Matrix<float> p = logits_for_test(*truth, hidden_for_test(*truth, sequences[i], 1000));
    for (size_t t = 0; t < q.rows(); ++t) {
      double zp = 0, zq = 0, kl = 0;
      for (size_t v = 0; v < q.cols(); ++v) {
        zp += std::exp(double{p(t, v)});
        zq += std::exp(double{q(t, v)});
      }
      for (size_t v = 0; v < q.cols(); ++v) {
        kl += std::exp(double{p(t, v)}) / zp * (double{p(t, v)} - double{q(t, v)} - std::log(zp) + std::log(zq));
      }
      sum += kl;
      ++count;
    }
  }
  return sum / static_cast<double>(count);
}

TEST(Tune, BringsScaledNormsBack) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  OCC_REQUIRE_DATA(text, "text/tinystories_a.txt");
  const auto file = open_tensor_file(folder);
  ChangedFile changed(*file);
  Rng rng(1);
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    if (file->tensors()[i].shape.size() != 1) continue;
    std::vector<float> values = values_of(*file, i);
    for (float& v : values) v *= 1 + 0.1f * static_cast<float>(rng.normal());
    changed.replace(file->tensors()[i].name, std::move(values));
  }
  const Sequences sequences = stories_for_test(*file, text, 32, 64);
  const TempFolder scratch;
  TuneOptions options;
  options.epochs = 3;
  options.batch_tokens = 128;
  options.rate = 0.02;
  const TuneResult r = tune_model(changed, *file, sequences, scratch.path(), options);
  EXPECT_NEAR(r.kl_before / held_out_kl(changed, *file, sequences), 1, 1e-3);
  EXPECT_LT(r.kl_after, 0.5 * r.kl_before);
  EXPECT_EQ(r.values.vectors.size(), 11u);
  EXPECT_EQ(r.steps, 42u);
  for (const auto& [tensor, values] : r.values.vectors) changed.replace(tensor, values);
  EXPECT_NEAR(r.kl_after / held_out_kl(changed, *file, sequences), 1, 1e-3);
  options.epochs = 1;
  options.fixed = {"model.norm.weight"};
  EXPECT_FALSE(
      tune_model(changed, *file, sequences, scratch.path(), options).values.vectors.contains("model.norm.weight"));
}

// Rows of all linear layers are multiplied by random factors. Tuning undoes that, except in a tensor it may not scale.
TEST(Tune, BringsScaledRowsBack) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  OCC_REQUIRE_DATA(text, "text/tinystories_a.txt");
  const auto file = open_tensor_file(folder);
  ChangedFile changed(*file);
  Rng rng(1);
  TuneOptions options;
  const auto scale_rows = [&](size_t tensor, const auto& factor) {
    std::vector<float> values = values_of(changed, tensor);
    const uint64_t rows = file->tensors()[tensor].shape[0], cols = values.size() / rows;
    for (size_t r = 0; r < rows; ++r) {
      const float f = factor(r);
      for (size_t c = 0; c < cols; ++c) values[r * cols + c] *= f;
    }
    changed.replace(file->tensors()[tensor].name, std::move(values));
  };
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const TensorInfo& t = file->tensors()[i];
    if (t.shape.size() != 2) continue;
    options.scaled.insert(t.name);  // includes the head, which must not change
    if (t.name.find("layers.") == std::string::npos) continue;
    scale_rows(i, [&](size_t) { return 1 + 0.15f * static_cast<float>(rng.normal()); });
  }
  const std::string left_out = "model.layers.2.mlp.up_proj.weight";
  options.scaled.erase(left_out);
  const Sequences sequences = stories_for_test(*file, text, 32, 64);
  const TempFolder scratch;
  options.epochs = 3;
  options.batch_tokens = 128;
  options.rate = 0.02;
  const TuneResult r = tune_model(changed, *file, sequences, scratch.path(), options);
  EXPECT_LT(r.kl_after, 0.5 * r.kl_before);
  EXPECT_EQ(r.values.row_factors.size(), 5u * 7 - 1);
  EXPECT_FALSE(r.values.row_factors.contains(left_out));
  for (const bool keep : {false, true}) {
    options.keep_weights = keep;
    options.epochs = 1;
    EXPECT_EQ(tune_model(changed, *file, std::span(sequences).first(8), scratch.path(), options).steps, 4u);
  }
  for (const auto& [tensor, values] : r.values.vectors) changed.replace(tensor, values);
  for (const auto& [tensor, factors] : r.values.row_factors) {
    scale_rows(changed.find(tensor), [&f = factors](size_t row) { return f.at(row); });
  }
  EXPECT_NEAR(r.kl_after / held_out_kl(changed, *file, sequences), 1, 1e-3);
}

TEST(Tune, KeepsNothingThatIsNoBetter) {
  const TinyModel tiny("gpt2", "plain");
  const auto file = tiny.open();
  Sequences sequences(10, std::vector<TokenId>(20, 3));
  Rng rng(1);
  for (std::vector<TokenId>& s : sequences) {
    for (TokenId& t : s) t = static_cast<TokenId>(rng.below(60));
  }
  const TempFolder scratch;
  const TuneResult r = tune_model(*file, *file, sequences, scratch.path());
  EXPECT_NEAR(r.kl_before, 0, 1e-6);
  EXPECT_EQ(r.kl_after, r.kl_before);
  EXPECT_TRUE(r.values.vectors.empty());
  EXPECT_USAGE_ERROR(tune_model(*file, *file, std::span(sequences).first(1), scratch.path()), "at least 2 sequences");
  const TinyModel other("llama", "plain");
  if (const auto reference = other.open(); read_config(*reference).vocab_size != read_config(*file).vocab_size) {
    EXPECT_USAGE_ERROR(tune_model(*file, *reference, sequences, scratch.path()), "same vocabulary");
  }
}

}  // namespace
}  // namespace occ
