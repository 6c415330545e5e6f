// Tiny models with random weights, and the outputs that the transformers package computes with them
// (tests/expected/models/make.py).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "io/open.h"
#include "model/transformer.h"
#include "test_data.h"

namespace occ {

const TransformerOptions kExact{Arithmetic::kF32, {}};

// A parameter of tests that run for many models.
struct TinyVariant {
  const char* model;
  const char* name;
};

template <typename Variant>
std::string tiny_variant_name(const testing::TestParamInfo<Variant>& at) {
  std::string name = std::string(at.param.model) + "_" + at.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

inline std::filesystem::path tiny_models_folder() { return source_folder() / "tests" / "expected" / "models"; }

// The Hugging Face folder of one variant of a model, or a copy with another config.json. It is a temporary folder,
// which is deleted with the object.
class TinyModel {
 public:
  TinyModel(const std::string& model, const std::string& variant)
      : TinyModel(model, variant, read_text_for_test(tiny_models_folder() / model / (variant + ".config.json"))) {}
  TinyModel(const std::string& model, const std::string& variant, const std::string& config)
      : model_(model), variant_(variant) {
    std::filesystem::copy_file(tiny_models_folder() / model / "model.safetensors", folder_ / "model.safetensors");
    put("config.json", config);
  }
  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  const std::filesystem::path& path() const { return folder_.path(); }
  std::unique_ptr<TensorFile> open() const { return open_tensor_file(folder_.path()); }
  std::filesystem::path gguf() const { return tiny_models_folder() / model_ / (variant_ + ".gguf"); }
  // A tensor of the expected values, as a matrix (a vector is one row) or as token ids.
  Matrix<float> expected(const std::string& name) const {
    const auto file = open_tensor_file(tiny_models_folder() / model_ / (variant_ + ".expected.safetensors"));
    const size_t i = file->find(name);
    const TensorInfo& info = file->tensors().at(i);
    Matrix<float> out(info.shape.size() == 2 ? info.shape[0] : 1, info.shape.back());
    file->read_f32(i, 0, out.size(), out.data());
    return out;
  }
  std::vector<TokenId> integers(const std::string& name) const {
    const Matrix<float> values = expected(name);
    std::vector<TokenId> out;
    for (size_t i = 0; i < values.size(); ++i) out.push_back(static_cast<TokenId>(values.data()[i]));
    return out;
  }

 private:
  std::string model_, variant_;
  TempFolder folder_;
};

// Hidden states [tokens, dim] of one sequence, computed `step` tokens at a time. cache: null for a new one.
inline Matrix<float> hidden_for_test(const Transformer& model, const std::vector<TokenId>& tokens, size_t step,
                                     KvCache* cache = nullptr) {
  const std::unique_ptr<KvCache> own = cache == nullptr ? model.make_cache(tokens.size()) : nullptr;
  Matrix<float> out(tokens.size(), model.config().dim);
  for (size_t i = 0; i < tokens.size(); i += step) {
    const size_t count = std::min(step, tokens.size() - i);
    const Sequence sequence{std::span(tokens).subspan(i, count), cache == nullptr ? own.get() : cache};
    const Matrix<float> part = model.hidden({&sequence, 1});
    std::copy_n(part.data(), part.size(), out.row(i));
  }
  return out;
}

inline Matrix<float> logits_for_test(const Transformer& model, const Matrix<float>& hidden) {
  Matrix<float> out(hidden.rows(), model.config().vocab_size);
  model.logits(hidden.view(), out.view());
  return out;
}

// The largest absolute difference, divided by the largest absolute value of b.
inline double difference_for_test(const Matrix<float>& a, const Matrix<float>& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double most = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
    largest = std::max(largest, std::abs(static_cast<double>(b.data()[i])));
    if (!(most >= 0)) return INFINITY;
  }
  return most / largest;
}

}  // namespace occ
