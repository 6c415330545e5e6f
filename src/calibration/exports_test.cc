// Exports of coded models: what the archive keeps, what f16 does not hold, and what errors say.
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "calibration/export_parts.h"
#include "calibration/gguf_export.h"
#include "calibration/int4_export.h"
#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "model/tiny_models_for_test.h"

namespace occ {
namespace {

// A model with other values in one tensor.
class OtherValues final : public TensorFile {
 public:
  OtherValues(const TensorFile& base, const std::string& name, std::function<float(float)> change)
      : base_(base), index_(base.find(name)), change_(std::move(change)) {}
  std::string path() const override { return base_.path(); }
  std::string format() const override { return base_.format(); }
  const std::vector<TensorInfo>& tensors() const override { return base_.tensors(); }
  void read_f32(size_t i, uint64_t first, uint64_t count, float* out) const override {
    base_.read_f32(i, first, count, out);
    if (i == index_) std::transform(out, out + count, out, change_);
  }
  void read_raw(size_t i, uint64_t first, uint64_t count, void* out) const override {
    if (i != index_) return base_.read_raw(i, first, count, out);
    std::vector<float> values(count);
    read_f32(i, first, count, values.data());
    convert_from_f32(tensors()[i].dtype, values.data(), out, count);
  }
  std::vector<SideFile> side_files() const override { return base_.side_files(); }
  uint64_t file_bytes() const override { return base_.file_bytes(); }

 private:
  const TensorFile& base_;
  size_t index_;
  std::function<float(float)> change_;
};

class Exports : public testing::Test {
 protected:
  Exports() { plain_.off = true; }
  // A Llama with other values in one tensor of the first layer.
  std::filesystem::path llama(const std::string& part, std::function<float(float)> change) const {
    const TinyModel tiny("llama", "plain");
    const auto file = tiny.open();
    write_model(OtherValues(*file, "model.layers.0." + part + ".weight", std::move(change)), folder_.path() / "llama");
    return folder_.path() / "llama";
  }
  static const TensorInfo& info(const TensorFile& file, const std::string& name) {
    return file.tensors().at(file.find(name));
  }
  static std::vector<float> values(const TensorFile& file, const std::string& name) {
    std::vector<float> out(info(file, name).elements());
    file.read_f32(file.find(name), 0, out.size(), out.data());
    return out;
  }
  std::set<std::string> ignored(const std::filesystem::path& model) const {
    const auto config = nlohmann::json::parse(get_bytes_for_test(model / "config.json"));
    return config.at("quantization_config").at("ignore").get<std::set<std::string>>();
  }

  TempFolder folder_;
  CalibrationOptions plain_;
  CompressOptions options_;
};

// Scales of f16 would be 0, so that the compressor keeps the tensor.
TEST_F(Exports, WhatTheArchiveKeepsIsWrittenAsFloats) {
  const std::filesystem::path model = llama("self_attn.o_proj", [](float x) { return x * 0x1p-27f; });
  const std::vector<float> small = values(*open_tensor_file(model), "model.layers.0.self_attn.o_proj.weight");
  write_gguf_blocks(model, folder_.path() / "q4.gguf", "Q4_0", options_, plain_);
  const auto gguf = open_tensor_file(folder_.path() / "q4.gguf");
  EXPECT_EQ(info(*gguf, "blk.0.attn_output.weight").stored_type, "");
  EXPECT_EQ(values(*gguf, "blk.0.attn_output.weight"), small);
  EXPECT_EQ(info(*gguf, "blk.1.attn_output.weight").stored_type, "Q4_0");

  write_int4_folder(model, folder_.path() / "int4", options_, plain_);
  const auto int4 = open_tensor_file(folder_.path() / "int4");
  EXPECT_EQ(values(*int4, "model.layers.0.self_attn.o_proj.weight"), small);
  EXPECT_EQ(ignored(folder_.path() / "int4").count("model.layers.0.self_attn.o_proj"), 1u);
  EXPECT_EQ(ignored(folder_.path() / "int4").count("model.layers.1.self_attn.o_proj"), 0u);
}

TEST_F(Exports, WhatF16DoesNotHoldIsF32) {
  const std::filesystem::path model = llama("mlp.down_proj", [](float x) { return x > 0 ? 70144.0f : x; });
  write_gguf_blocks(model, folder_.path() / "q4.gguf", "Q4_0", options_, plain_);
  const auto gguf = open_tensor_file(folder_.path() / "q4.gguf");
  EXPECT_EQ(info(*gguf, "blk.0.ffn_down.weight").dtype, DType::kF32);
  EXPECT_EQ(values(*gguf, "blk.0.ffn_down.weight"),
            values(*open_tensor_file(model), "model.layers.0.mlp.down_proj.weight"));
  EXPECT_EQ(info(*gguf, "blk.1.ffn_down.weight").dtype, DType::kF16);
}

TEST_F(Exports, TheHeadOfGptNeoxIsIgnored) {
  write_int4_folder(TinyModel("gptneox", "plain").path(), folder_.path() / "int4", options_, plain_);
  EXPECT_EQ(ignored(folder_.path() / "int4").count("embed_out"), 1u);
}

// Without a tokenizer the text cannot be used, which shows only in the file that was made from the input.
TEST_F(Exports, ErrorsNameTheInput) {
  const TinyModel tiny("llama", "plain");
  put_bytes_for_test(folder_.path() / "text.txt", "Once upon a time");
  CalibrationOptions calibration;
  calibration.texts = {folder_.path() / "text.txt"};
  try {
    write_gguf_blocks(tiny.path(), folder_.path() / "q4.gguf", "Q4_0", options_, calibration);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(tiny.path().string()), std::string::npos) << e.what();
    EXPECT_EQ(std::string(e.what()).find(".tmp"), std::string::npos) << e.what();
  }
}

TEST_F(Exports, FoldersThatAreNotReplacedAreRefusedFirst) {
  std::filesystem::create_directory(folder_.path() / "int4");
  put_bytes_for_test(folder_.path() / "int4" / "thesis.txt", "mine");
  bool began = false;
  options_.progress = [&](const char*, uint64_t, uint64_t) { began = true; };
  const TinyModel tiny("llama", "plain");
  EXPECT_OCC_ERROR(write_int4_folder(tiny.path(), folder_.path() / "int4", options_, plain_), ErrorKind::kFailed,
                   "thesis.txt");
  EXPECT_FALSE(began);
  EXPECT_EQ(get_bytes_for_test(folder_.path() / "int4" / "thesis.txt"), "mine");
}

}  // namespace
}  // namespace occ
