#include "io/quantized.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "io/open.h"
#include "io/safetensors.h"
#include "test_data.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = source_folder() / "tests/expected/quantized";

std::vector<float> all_of(const TensorFile& file, size_t i) {
  std::vector<float> out(file.tensors()[i].elements());
  file.read_f32(i, 0, out.size(), out.data());
  return out;
}

// Every value is that of the reference packages, whatever part is read.
TEST(Quantized, EqualsReferencePackages) {
  size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    ++cases;
    const std::unique_ptr<TensorFile> file = open_tensor_file(entry.path());
    const SafetensorsFile expected(entry.path() / "expected.safetensors");
    for (size_t k = 0; k < expected.tensors().size(); ++k) {
      const TensorInfo& want = expected.tensors()[k];
      const size_t i = file->find(want.name);
      ASSERT_LT(i, file->tensors().size());
      const TensorInfo& found = file->tensors()[i];
      EXPECT_EQ(found.shape, want.shape);
      EXPECT_FALSE(found.stored_type.empty());
      const std::vector<float> values = all_of(expected, k);
      EXPECT_EQ(all_of(*file, i), values);
      const size_t n = values.size();
      for (const auto& [first, count] : {std::pair<size_t, size_t>{0, 1}, {n / 3, n / 2}, {n - 1, 1}, {n, 0}}) {
        std::vector<float> part(count);
        file->read_f32(i, first, count, part.data());
        EXPECT_EQ(part, (std::vector<float>{values.begin() + static_cast<ptrdiff_t>(first),
                                            values.begin() + static_cast<ptrdiff_t>(first + count)}));
      }
      std::vector<float> raw(n);
      Bytes bytes(n * dtype_size(found.dtype));
      file->read_raw(i, 0, n, bytes.data());
      convert_to_f32(found.dtype, bytes.data(), raw.data(), n);
      EXPECT_EQ(raw, values) << dtype_name(found.dtype);
    }
    // Nothing of the packed form is left, what was plain is as it was, and the configuration no longer speaks of it.
    EXPECT_LT(file->find("plain.weight"), file->tensors().size());
    for (const TensorInfo& t : file->tensors()) {
      EXPECT_TRUE(is_float(t.dtype)) << t.name;
      for (const char* part : {"scale", "zero", "qweight", "absmax", "packed", "map"}) {
        EXPECT_EQ(t.name.find(part), std::string::npos) << t.name;
      }
    }
    EXPECT_FALSE(file->notes().empty());
    for (const SideFile& side : file->side_files()) {
      const std::string text(side.bytes.begin(), side.bytes.end());
      EXPECT_EQ(text.find("quantization_config"), std::string::npos);
    }
  }
  EXPECT_GE(cases, 23u);
}

class QuantizedFolder : public testing::Test {
 protected:
  // A copy of a case with another configuration.
  fs::path copy(const std::string& name, const std::string& config) {
    const fs::path to = temp_ / name;
    fs::create_directories(to);
    fs::copy_file(kCases / name / "model.safetensors", to / "model.safetensors", fs::copy_options::overwrite_existing);
    put_bytes_for_test(to / "config.json", config);
    return to;
  }
  TempFolder temp_;
};

TEST_F(QuantizedFolder, WhatIsUnknownIsRefusedByName) {
  EXPECT_INPUT_ERROR(open_tensor_file(copy("awq", R"({"quantization_config":{"quant_method":"aqlm"}})")), "'aqlm'");
  EXPECT_INPUT_ERROR(open_tensor_file(copy("awq", R"({"quantization_config":{"bits":4}})")), "'none'");
  EXPECT_INPUT_ERROR(open_tensor_file(copy("awq", "{}")), "'a.qweight': packed weights, expected quantization_config");
  EXPECT_INPUT_ERROR(open_tensor_file(copy("ct_int4", "{}")), "a.weight_packed");
  EXPECT_INPUT_ERROR(
      open_tensor_file(copy("awq", R"({"quantization_config":{"quant_method":"awq","version":"marlin"}})")),
      "'marlin'");
  EXPECT_INPUT_ERROR(
      open_tensor_file(copy(
          "gptq_3bit", R"({"quantization_config":{"quant_method":"gptq","bits":3,"checkpoint_format":"marlin"}})")),
      "marlin");
  EXPECT_INPUT_ERROR(
      open_tensor_file(
          copy("ct_int4", R"({"quantization_config":{"quant_method":"compressed-tensors","format":"marlin-24"}})")),
      "'marlin-24'");
}

TEST_F(QuantizedFolder, ScalesOfFp8SayThemselvesWhatTheyAre) {
  const std::unique_ptr<TensorFile> file = open_tensor_file(copy("fp8_block", "{}"));
  EXPECT_EQ(file->tensors()[file->find("a.weight")].stored_type, "F8_E4M3");
}

// Damaged headers and shapes are input errors or are read without harm.
TEST_F(QuantizedFolder, DamagedTensorsAreInputErrors) {
  for (const auto& entry : fs::directory_iterator(kCases)) {
    if (!entry.is_directory()) continue;
    const fs::path to = temp_ / "damaged";
    fs::create_directories(to);
    fs::copy_file(entry.path() / "config.json", to / "config.json", fs::copy_options::overwrite_existing);
    const std::string good = get_bytes_for_test(entry.path() / "model.safetensors");
    size_t digits = 0;
    for (size_t at = 8; at < good.size() && good[at] != '\0' && at < 1200; ++at) {
      if (good[at] < '0' || good[at] > '9' || ++digits % 3 != 0) continue;
      std::string bytes = good;
      bytes[at] = static_cast<char>('0' + (good[at] - '0' + 3) % 10);
      put_bytes_for_test(to / "model.safetensors", bytes);
      try {
        read_all_for_test(*open_tensor_file(to));
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      }
    }
  }
}

}  // namespace
}  // namespace occ
