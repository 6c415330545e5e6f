#include "io/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "io/gguf.h"
#include "io/gguf_json.h"
#include "io/gguf_test_builder.h"

namespace occ {
namespace {

using testing::HasSubstr;

// All of `from` as `dtype` (its own type if empty), in calls of `cut` bytes.
void convert(const TensorFile& from, const std::filesystem::path& to, std::optional<DType> dtype, size_t cut) {
  std::vector<OutTensor> tensors;
  for (const TensorInfo& t : from.tensors()) tensors.push_back({t.name, dtype.value_or(t.dtype), t.shape});
  SinkOptions options;
  options.side_files = from.side_files();
  options.sync = false;
  const std::unique_ptr<TensorSink> sink = make_gguf_sink(to, options);
  sink->begin(tensors);
  Bytes all;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t n = from.tensors()[i].elements();
    const size_t at = all.size();
    all.resize(at + n * dtype_size(tensors[i].dtype));
    if (!dtype) {
      from.read_raw(i, 0, n, all.data() + at);
      continue;
    }
    std::vector<float> values(n);
    from.read_f32(i, 0, n, values.data());
    convert_from_f32(*dtype, values.data(), all.data() + at, n);
  }
  for (size_t at = 0; at < all.size(); at += cut) sink->write(all.data() + at, std::min(cut, all.size() - at));
  sink->commit();
}

void expect_same_tensors(const TensorFile& a, const TensorFile& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    EXPECT_EQ(a.tensors()[i].name, b.tensors()[i].name);
    EXPECT_EQ(a.tensors()[i].shape, b.tensors()[i].shape);
    const std::vector<float> x = read_all(a, i);
    const std::vector<float> y = read_all(b, i);
    ASSERT_EQ(x.size(), y.size());
    EXPECT_TRUE(x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0) << a.tensors()[i].name;
  }
}

// Metadata as text, without the keys that a writer has to change.
std::string lasting_metadata(const GgufFile& file) {
  GgufMetadata m = file.metadata();
  m.erase("general.file_type");
  m.erase("general.quantization_version");
  return gguf_metadata_json(m);
}

class GgufRoundTrip : public testing::TestWithParam<const char*> {};

TEST_P(GgufRoundTrip, ValuesAndMetadataStay) {
  OCC_REQUIRE_DATA(path, fmt::format("gguf/kq-{}.gguf", GetParam()));
  const TempFolder folder;
  const GgufFile from(path);
  convert(from, folder / "f32.gguf", DType::kF32, 100'003);
  const GgufFile to(folder / "f32.gguf");
  EXPECT_EQ(to.version(), 3u);
  expect_same_tensors(from, to);
  for (const TensorInfo& t : to.tensors()) {
    EXPECT_EQ(t.dtype, DType::kF32);
    EXPECT_EQ(t.stored_type, "");
  }
  EXPECT_EQ(lasting_metadata(to), lasting_metadata(from));
  EXPECT_EQ(to.metadata().uint("general.file_type"), 0u);
  EXPECT_EQ(to.metadata().find("general.quantization_version"), nullptr);
  EXPECT_EQ(to.file_bytes() % 32, 0u);
}

INSTANTIATE_TEST_SUITE_P(AllTypes, GgufRoundTrip,
                         testing::Values("BF16", "F16", "IQ4_NL", "IQ4_XS", "Q2_K", "Q3_K_M", "Q4_0", "Q4_K_M", "Q5_1",
                                         "Q5_K_M", "Q6_K", "Q8_0"),
                         [](const auto& test) { return std::string(test.param); });

// The file's own bytes come back when nothing has to change.
TEST(GgufWriter, IdenticalBytes) {
  GgufBuilder b;
  b.key("general.architecture", "llama").key<uint32_t>("general.file_type", 4, 1);
  ByteWriter nested;
  nested.put<uint32_t>(9);
  nested.put<uint64_t>(2);
  nested.put<uint32_t>(7);
  nested.put<uint64_t>(1);
  nested.put<uint8_t>(1);
  nested.put<uint32_t>(8);
  nested.put<uint64_t>(1);
  put_gguf_string(nested, "\xff");
  b.key("nested", 9, nested.span()).key<int64_t>("i64", 11, -5).key<float>("f32", 6, 0.1f).key<uint8_t>("b", 7, 0);
  const Bytes some(64, 0x3c);
  b.tensor("f16", {4, 8}, 1, some).tensor("i8", {3}, 24, ByteSpan(some).first(3)).tensor("none", {0, 3}, 0, {});
  b.tensor("i64", {1, 1, 1, 2}, 27, ByteSpan(some).first(16)).tensor("f64", {1}, 28, ByteSpan(some).first(8));
  b.tensor("bf16", {16}, 30, ByteSpan(some).first(32));
  Bytes bytes = b.bytes();
  const TempFolder folder;
  for (const size_t cut : {1, 7, 1000}) {
    convert(GgufFile(write_test_file(folder / "a.gguf", bytes)), folder / "b.gguf", std::nullopt, cut);
    EXPECT_EQ(read_file(folder / "b.gguf"), bytes) << cut;
  }
}

TEST(GgufWriter, FileTypeFollowsMostValues) {
  const TempFolder folder;
  GgufBuilder b;
  b.key<uint32_t>("general.file_type", 4, 15).key<uint32_t>("general.alignment", 4, 256);
  b.alignment = 256;
  b.tensor("w", {32, 2}, 2, Bytes(36)).tensor("n", {2}, 0, Bytes(8));
  const GgufFile from(write_test_file(folder / "a.gguf", b.bytes()));
  for (const auto& [dtype, type] :
       {std::pair(DType::kF32, 0u), std::pair(DType::kF16, 1u), std::pair(DType::kBF16, 32u)}) {
    convert(from, folder / "b.gguf", dtype, 64);
    const GgufFile to(folder / "b.gguf");
    EXPECT_EQ(to.metadata().uint("general.file_type"), type);
    EXPECT_EQ(to.metadata().uint("general.alignment"), 256u);
    EXPECT_EQ(to.file_bytes() % 256, 0u);
    expect_same_tensors(from, to);
  }
}

TEST(GgufWriter, WithoutMetadataOrTensors) {
  const TempFolder folder;
  const std::unique_ptr<TensorSink> sink = make_gguf_sink(folder / "some-model.gguf");
  sink->begin({});
  sink->commit();
  const GgufFile file(folder / "some-model.gguf");
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_EQ(*file.metadata().string("general.architecture"), "unknown");
  EXPECT_EQ(*file.metadata().string("general.name"), "some-model");
}

TEST(GgufWriter, ScalarsBecomeVectors) {
  const TempFolder folder;
  const std::unique_ptr<TensorSink> sink = make_gguf_sink(folder / "a.gguf");
  sink->begin({{"s", DType::kF32, {}}});
  const float value = 2.5;
  sink->write(&value, sizeof(value));
  sink->commit();
  const GgufFile file(folder / "a.gguf");
  EXPECT_EQ(file.tensors()[0].shape, std::vector<uint64_t>{1});
  EXPECT_EQ(read_all(file, 0), std::vector<float>{2.5});
}

TEST(GgufWriter, NothingWithoutCommit) {
  const TempFolder folder;
  {
    const std::unique_ptr<TensorSink> sink = make_gguf_sink(folder / "a.gguf");
    sink->begin({{"s", DType::kF32, {4}}});
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(GgufWriter, RefusesWhatGgufCannotHold) {
  const TempFolder folder;
  const uint64_t huge = uint64_t{1} << 40;
  const std::string long_name(64, 'n');
  const std::vector<std::pair<OutTensor, const char*>> cases = {
      {{long_name, DType::kF32, {2}}, "1 to 63 bytes"},
      {{"", DType::kF32, {2}}, "1 to 63 bytes"},
      {{"\xff", DType::kF32, {2}}, "UTF-8"},
      {{"t", DType::kU8, {2}}, "cannot hold U8"},
      {{"t", DType::kBool, {2}}, "cannot hold BOOL"},
      {{"t", DType::kF32, {1, 1, 1, 1, 1}}, "at most 4 dimensions, found 5"},
      {{"t", DType::kF32, {huge, huge}}, "elements"},
      {{"t", DType::kF32, {0, huge, huge}}, "elements"},
      {{"other", DType::kF32, {2}}, "'other': expected once"},
  };
  for (const auto& [tensor, message] : cases) {
    try {
      make_gguf_sink(folder / "a.gguf")->begin({{"other", DType::kF32, {2}}, tensor});
      ADD_FAILURE() << message;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      EXPECT_THAT(e.what(), HasSubstr(message));
      EXPECT_THAT(e.what(), HasSubstr("tensor '"));
    }
  }
  // 63 bytes are fine.
  make_gguf_sink(folder / "a.gguf")->begin({{long_name.substr(1), DType::kF32, {2}}});

  SinkOptions options;
  const std::string bad = R"({"metadata": [{"key": "general.alignment", "type": "u32", "value": 7}]})";
  options.side_files.push_back({"gguf.json", Bytes(bad.begin(), bad.end())});
  EXPECT_THROW(make_gguf_sink(folder / "a.gguf", options), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace occ
