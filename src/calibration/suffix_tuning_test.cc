#include "calibration/suffix_tuning.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "base/rng.h"
#include "calibration/changed_file.h"
#include "calibration/layer_part.h"
#include "calibration/model_calibration.h"
#include "calibration/reference.h"
#include "container/archive_file.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

Sequences random_sequences(size_t count, size_t length, size_t vocab_size, uint64_t seed) {
  Rng rng(seed);
  Sequences out(count);
  for (auto& s : out) {
    for (size_t t = 0; t < length; ++t) s.push_back(static_cast<TokenId>(rng.below(vocab_size)));
  }
  return out;
}

std::vector<float> values_of(const TensorFile& file, const std::string& tensor) {
  const size_t i = file.find(tensor);
  std::vector<float> values(file.tensors()[i].elements());
  file.read_f32(i, 0, values.size(), values.data());
  return values;
}

// A file in which noise is added to the tensors of layer 0, as if they had been coded badly.
class Noisy {
 public:
  explicit Noisy(const TensorFile& file) : changed_(file) {
    const ModelConfig config = read_config(file);
    Rng rng(1);
    for (const ModelPart& part : model_parts(file, config)) {
      for (const std::string& tensor : part.tensors()) {
        if (part.part == LayerPart::kHead) continue;
        if (part.layer != 0) {
          later_.insert(tensor);
          continue;
        }
        std::vector<float> values = values_of(file, tensor);
        for (float& v : values) v *= 1 + 0.3f * static_cast<float>(rng.normal());
        changed_.replace(tensor, std::move(values));
      }
    }
  }
  const TensorFile& file() const { return changed_; }
  const std::set<std::string>& later() const { return later_; }

 private:
  ChangedFile changed_;
  std::set<std::string> later_;  // names of the weights of the other layers
};

// Tuning the later layers lowers the KL that errors of the first layer cause, on sequences that were not tuned on.
TEST(SuffixTuning, LowersTheDivergenceThatErrorsOfTheLayersBeforeCause) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  const auto file = open_tensor_file(folder);
  const ModelConfig config = read_config(*file);
  const TempFolder scratch;
  const Sequences sequences = sample_sequences(*file, Sequences(24, {TokenId{1}}), 64, 7);
  const Sequences others = sample_sequences(*file, Sequences(8, {TokenId{1}}), 64, 8);
  const Noisy noisy(*file);
  std::set<std::string> tunable = noisy.later();
  const std::string left_out = "model.layers.2.mlp.up_proj.weight";
  ASSERT_EQ(tunable.erase(left_out), 1u);
  std::vector<std::vector<float>> first;
  for (const size_t threads : {1, 2}) {
    const ThreadLimit limit(threads);
    SuffixTuning tuning(*file, config, sequences, scratch.path(), {.every = 1, .epochs = 4, .batch_tokens = 128});
    tuning.start(tunable);
    EXPECT_TRUE(tuning.reach(1, noisy.file()));
    ChangedFile tuned(noisy.file());
    std::vector<std::vector<float>> all;
    for (const std::string& tensor : noisy.later()) {
      EXPECT_EQ(tuning.has(tensor), tensor != left_out) << tensor;
      all.push_back(values_of(tuning.tuned(), tensor));
      tuned.replace(tensor, all.back());
    }
    EXPECT_EQ(values_of(tuning.tuned(), left_out), values_of(*file, left_out));
    EXPECT_EQ(tuning.find(left_out).size(), 0u);
    EXPECT_LT(divergence(tuned, *file, others, scratch.path()),
              0.8 * divergence(noisy.file(), *file, others, scratch.path()));
    if (first.empty()) first = all;
    EXPECT_TRUE(first == all) << threads << " threads";
  }
}

// The first step of Adam moves every weight against its gradient by the learning rate, in units of the tensor's rms.
TEST(SuffixTuning, MakesStepsOfTheSizeThatTheRateSays) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const ModelConfig config = read_config(*file);
  ASSERT_GE(config.layers, 2u);
  const TempFolder scratch;
  const Noisy noisy(*file);
  const double rate = 1e-3;
  SuffixTuning tuning(*file, config, random_sequences(4, 24, config.vocab_size, 3), scratch.path(),
                      {.every = 1, .epochs = 1, .batch_tokens = 10'000, .rate = rate});
  tuning.start(noisy.later());
  ASSERT_TRUE(tuning.reach(1, noisy.file()));
  for (const std::string& tensor : noisy.later()) {
    const std::vector<float> before = values_of(*file, tensor), after = values_of(tuning.tuned(), tensor);
    double squares = 0, most = 0, sum = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      squares += double{before[i]} * double{before[i]};
      most = std::max(most, std::abs(double{after[i]} - double{before[i]}));
      sum += std::abs(double{after[i]} - double{before[i]});
    }
    const double step = rate * std::sqrt(squares / static_cast<double>(before.size()));
    const double share = most / step;  // share of the change that was kept
    EXPECT_TRUE(std::abs(share - 1) < 1e-2 || std::abs(share - 0.5) < 1e-2) << tensor << ": " << share;
    EXPECT_GT(sum, 0.9 * most * static_cast<double>(before.size())) << tensor;
  }
}

TEST(SuffixTuning, KeepsNothingWhereNothingWasLost) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const ModelConfig config = read_config(*file);
  const TempFolder scratch;
  const Noisy noisy(*file);
  SuffixTuning tuning(*file, config, random_sequences(4, 24, config.vocab_size, 3), scratch.path(), {.every = 1});
  tuning.start(noisy.later());
  EXPECT_FALSE(tuning.reach(1, *file));
  for (const std::string& tensor : noisy.later()) {
    EXPECT_FALSE(tuning.has(tensor));
    EXPECT_EQ(values_of(tuning.tuned(), tensor), values_of(*file, tensor));
  }
}

TEST(SuffixTuning, IsOnlyForCausalModelsWithoutExperts) {
  const auto possible = [](const char* model, const char* name) {
    const TinyModel tiny(model, name);
    const auto file = tiny.open();
    return SuffixTuning::is_possible(*file, read_config(*file));
  };
  EXPECT_TRUE(possible("llama", "plain"));
  EXPECT_TRUE(possible("phi3", "short"));
  EXPECT_FALSE(possible("gpt2", "plain"));
  EXPECT_FALSE(possible("bert", "plain"));
  EXPECT_FALSE(possible("mixtral", "plain"));
}

CompressReport compress_for_test(const TensorFile& file, const std::filesystem::path& path, const Sequences& texts,
                                 const Sequences& tune, size_t places, size_t threads) {
  CalibrationSettings settings;
  settings.tune_sequences = tune;
  settings.tune_places = places;
  ModelCalibration calibration(file, texts, "test", path.parent_path(), settings);
  CompressOptions options;
  options.bits = 3;
  options.force = true;
  options.threads = threads;
  return compress_source(file, path, options, &calibration);
}

// Compares whole files of the same size.
TEST(SuffixTuning, MakesBetterFiles) {
  OCC_REQUIRE_DATA(folder, "models/stories260k");
  const auto file = open_tensor_file(folder);
  const TempFolder out;
  const Sequences texts = sample_sequences(*file, Sequences(32, {TokenId{1}}), 128, 1);
  const Sequences tune = sample_sequences(*file, Sequences(128, {TokenId{1}}), 128, 2);
  const Sequences judge = sample_sequences(*file, Sequences(16, {TokenId{1}}), 128, 3);
  std::vector<double> kl;
  for (const size_t places : {0, 3}) {
    const auto path = out.path() / "m.occ";
    const CompressReport report = compress_for_test(*file, path, texts, tune, places, 0);
    EXPECT_LE(report.file_bytes * 8, 3 * 261'000);
    const auto noted = [](const std::string& note) { return note.find("before they were coded") != std::string::npos; };
    EXPECT_EQ(std::count_if(report.notes.begin(), report.notes.end(), noted), static_cast<ptrdiff_t>(places));
    kl.push_back(divergence(*open_any(path), *file, judge, out.path()));
  }
  EXPECT_LT(kl[1], 0.97 * kl[0]);
}

TEST(SuffixTuning, FilesDoNotDependOnThreads) {
  const TinyModel tiny("llama", "plain");
  const auto file = tiny.open();
  const size_t vocab_size = read_config(*file).vocab_size;
  const TempFolder out;
  std::vector<std::string> bytes;
  for (const size_t threads : {1, 2}) {
    const auto path = out.path() / "m.occ";
    compress_for_test(*file, path, random_sequences(8, 24, vocab_size, 4), random_sequences(8, 24, vocab_size, 5), 2,
                      threads);
    bytes.push_back(read_text_for_test(path));
  }
  EXPECT_TRUE(bytes[0] == bytes[1]);
}

}  // namespace
}  // namespace occ
