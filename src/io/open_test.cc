#include "io/open.h"

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "io/npy.h"
#include "test_data.h"

namespace occ {
namespace {

class OpenTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, size_t count = 1) {
    const auto sink = make_tensor_sink(temp_ / name);
    std::vector<OutTensor> tensors;
    for (size_t i = 0; i < count; ++i) tensors.push_back({fmt::format("t{}", i), DType::kF32, {2, 3}});
    sink->begin(tensors);
    const std::vector<float> values(6 * count, 1.25f);
    sink->write(values.data(), values.size() * 4);
    sink->commit();
    return temp_ / name;
  }
  std::filesystem::path put(const std::string& name, const std::string& bytes) {
    put_bytes_for_test(temp_ / name, bytes);
    return temp_ / name;
  }
  TempFolder temp_;
};

TEST_F(OpenTest, OpensWhatTheSinksWrite) {
  EXPECT_EQ(open_tensor_file(write("a.safetensors", 2))->format(), "safetensors");
  EXPECT_EQ(open_tensor_file(write("a.npy"))->format(), "npy");
  EXPECT_EQ(open_tensor_file(write("a.fvecs"))->format(), "fvecs");
  EXPECT_EQ(open_tensor_file(write("folder", 2))->format(), "hf");
  EXPECT_EQ(open_tensor_file(write("folder2/", 2))->format(), "hf");
  EXPECT_EQ(open_tensor_file(write("model_v2", 2))->format(), "hf");
  for (const char* name : {"a.safetensors", "a.npy", "a.fvecs", "folder"}) {
    const auto file = open_tensor_file(temp_ / name);
    float value = 0;
    file->read_f32(0, 5, 1, &value);
    EXPECT_EQ(value, 1.25f);
  }
}

TEST_F(OpenTest, KnowsFilesByMagicToo) {
  std::filesystem::copy_file(write("a.safetensors"), temp_ / "a.weights");
  std::filesystem::copy_file(write("a.npy"), temp_ / "a.array");
  EXPECT_EQ(open_tensor_file(temp_ / "a.weights")->format(), "safetensors");
  EXPECT_EQ(open_tensor_file(temp_ / "a.array")->format(), "npy");
  EXPECT_INPUT_ERROR(open_tensor_file(put("x.weights", "GGUF")), "x.weights");  // known as GGUF, and too short for one
}

TEST_F(OpenTest, RefusesWhatItCannotRead) {
  EXPECT_INPUT_ERROR(open_tensor_file(temp_ / "none.safetensors"), "found none");
  EXPECT_INPUT_ERROR(open_tensor_file(temp_ / "none"), "found none");
  for (const char* name : {"a.bin", "a.pt", "a.pth", "a.ckpt"}) {
    EXPECT_INPUT_ERROR(open_tensor_file(put(name, "x")), "save_file");
  }
  EXPECT_INPUT_ERROR(open_tensor_file(put("a.xyz", "x")), "expected a Hugging Face folder, .safetensors, .gguf, .npy");
  EXPECT_INPUT_ERROR(open_tensor_file(put("a", "")), "unsupported");
  EXPECT_INPUT_ERROR(open_tensor_file(put("a.safetensors", "")), "a.safetensors");
  EXPECT_INPUT_ERROR(open_tensor_file(put("a.npy", "")), "a.npy");
  EXPECT_INPUT_ERROR(open_tensor_file(temp_.path()), "a.safetensors");  // a folder with a bad file
}

TEST_F(OpenTest, TellsHowToDownloadANameOfTheHub) {
  EXPECT_INPUT_ERROR(open_tensor_file("NoSuchOrg/SmolLM2-1.7B"),
                     "huggingface-cli download NoSuchOrg/SmolLM2-1.7B --local-dir SmolLM2-1.7B");
  for (const std::filesystem::path& path :
       {temp_ / "NoSuchOrg/Name", std::filesystem::path("./Org/Name"), std::filesystem::path("models/x.gguf"),
        std::filesystem::path("a/b/c"), std::filesystem::path("name"), std::filesystem::path("no such/name")}) {
    EXPECT_INPUT_ERROR(open_tensor_file(path), "expected a file or folder, found none");
    try {
      open_tensor_file(path);
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find("download"), std::string::npos) << e.what();
    }
  }
}

TEST_F(OpenTest, SinksRefuseOutputsThatDoNotExist) {
  for (const char* name : {"a.bin", "a.bvecs", "a.ivecs", "a.npz", "a.occ", "a.pt"}) {
    EXPECT_USAGE_ERROR(make_tensor_sink(temp_ / name), "expected an output");
  }
  EXPECT_USAGE_ERROR(write("a.npy", 2), "--tensor");
  EXPECT_USAGE_ERROR(write("a.fvecs", 2), "--tensor");
  EXPECT_OCC_ERROR(write("no/such/a.npy"), ErrorKind::kFailed, "cannot be created");
}

// TensorRows over a file: rows of the coded matrix.
TEST_F(OpenTest, RowsOfATensorWithMoreDimensions) {
  std::vector<float> values(4 * 3 * 32);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto sink = make_tensor_sink(temp_ / "w.npy");
  sink->begin({{"w", DType::kF32, {4, 3, 32}}});
  sink->write(values.data(), values.size() * 4);
  sink->commit();
  const auto file = open_tensor_file(temp_ / "w.npy");
  const TensorRows rows(*file, 0);
  EXPECT_EQ(rows.shape(), (Shape{4, 96}));
  Matrix<float> out(2, 100);
  rows.read_rows(2, out.view().sub({0, 0, 2, 96}));
  EXPECT_EQ(out(0, 0), 192);
  EXPECT_EQ(out(1, 95), 383);
  EXPECT_EQ(out(1, 96), 0);
}

}  // namespace
}  // namespace occ
