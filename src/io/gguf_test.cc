#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/rng.h"
#include "io/expect_error_for_test.h"
#include "io/gguf_json.h"
#include "io/gguf_test_builder.h"

namespace occ {
namespace {

struct Expected {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};

// F32 tensors of a safetensors file, read in the plainest way.
std::map<std::string, Expected> read_expected(const std::filesystem::path& path) {
  const Bytes bytes = read_file(path);
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof(size));
  const auto header = nlohmann::json::parse(bytes.begin() + 8, bytes.begin() + 8 + static_cast<ptrdiff_t>(size));
  std::map<std::string, Expected> out;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    EXPECT_EQ(entry["dtype"], "F32");
    Expected e{entry["shape"].get<std::vector<uint64_t>>(), {}};
    const uint64_t begin = entry["data_offsets"][0];
    const uint64_t end = entry["data_offsets"][1];
    e.values.resize((end - begin) / 4);
    std::memcpy(e.values.data(), bytes.data() + 8 + size + begin, end - begin);
    out.emplace(name, std::move(e));
  }
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

class GgufFiles : public testing::TestWithParam<const char*> {};

TEST_P(GgufFiles, DequantizesBitForBit) {
  OCC_REQUIRE_DATA(path, fmt::format("gguf/kq-{}.gguf", GetParam()));
  OCC_REQUIRE_DATA(expected_path, fmt::format("gguf/kq-{}.expected.safetensors", GetParam()));
  const auto expected = read_expected(expected_path);
  const std::unique_ptr<TensorFile> file = open_gguf(path);
  EXPECT_EQ(file->format(), "gguf");
  EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(path));
  ASSERT_EQ(file->tensors().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const TensorInfo& info = file->tensors()[i];
    ASSERT_TRUE(expected.contains(info.name)) << info.name;
    const Expected& want = expected.at(info.name);
    EXPECT_EQ(info.shape, want.shape) << info.name;
    EXPECT_TRUE(same_bits(read_all(*file, i), want.values)) << info.name << " " << info.stored_type;
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, GgufFiles,
                         testing::Values("BF16", "F16", "IQ4_NL", "IQ4_XS", "Q2_K", "Q3_K_M", "Q4_0", "Q4_K_M", "Q5_1",
                                         "Q5_K_M", "Q6_K", "Q8_0"),
                         [](const auto& test) { return std::string(test.param); });

// A tensor of every supported type, 3 rows of 512 random values.
GgufBuilder all_types() {
  GgufBuilder builder;
  builder.key("general.architecture", "test");
  Rng rng(7);
  for (uint32_t id = 0; find_gguf_type(id) != nullptr; ++id) {
    const GgufType& t = *find_gguf_type(id);
    if (!t.supported()) continue;
    Bytes bytes(3 * 512 / t.block_elements * t.block_bytes);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng.next());
    builder.tensor(fmt::format("t.{}", t.name), {512, 3}, id, bytes);
  }
  return builder;
}

TEST(Gguf, AnyRangeOfAnyType) {
  const TempFolder folder;
  const GgufFile file(write_test_file(folder / "a.gguf", all_types().bytes()));
  ASSERT_EQ(file.tensors().size(), 34u);
  Rng rng(3);
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    const TensorInfo& info = file.tensors()[i];
    EXPECT_EQ(info.shape, (std::vector<uint64_t>{3, 512}));
    const std::string type = info.stored_type.empty() ? std::string(dtype_name(info.dtype)) : info.stored_type;
    EXPECT_EQ(info.name, "t." + type);
    const std::vector<float> all = read_all(file, i);
    for (int k = 0; k < 50; ++k) {
      const uint64_t first = rng.below(all.size() + 1);
      const uint64_t count = rng.below(all.size() + 1 - first);
      std::vector<float> part(count);
      file.read_f32(i, first, count, part.data());
      ASSERT_TRUE(same_bits(
          part, {all.begin() + static_cast<ptrdiff_t>(first), all.begin() + static_cast<ptrdiff_t>(first + count)}))
          << info.name << " [" << first << ", " << first + count << ")";
      Bytes raw(count * dtype_size(info.dtype));
      file.read_raw(i, first, count, raw.data());
      std::vector<float> converted(count);
      convert_to_f32(info.dtype, raw.data(), converted.data(), count);
      ASSERT_TRUE(same_bits(converted, part)) << info.name;
    }
  }
}

TEST(Gguf, LargeTensorsAreReadInChunks) {
  const TempFolder folder;
  GgufBuilder builder;
  const GgufType& q8 = *find_gguf_type(uint32_t{8});
  const GgufType& bf16 = *find_gguf_type(DType::kBF16);
  Bytes bytes(1 << 20);
  Rng rng(1);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng.next());
  const size_t blocks = bytes.size() / q8.block_bytes;
  builder.tensor("a", {32, blocks}, q8.id, ByteSpan(bytes).first(blocks * q8.block_bytes));
  builder.tensor("b", {bytes.size() / 2}, bf16.id, bytes);
  const GgufFile file(write_test_file(folder / "a.gguf", builder.bytes()));
  std::vector<float> want(blocks * 32);
  q8.dequantize(bytes.data(), blocks, want.data());
  EXPECT_TRUE(same_bits(read_all(file, 0), want));
  std::vector<float> part(want.size() - 10);
  file.read_f32(0, 5, part.size(), part.data());
  EXPECT_TRUE(same_bits(part, {want.begin() + 5, want.end() - 5}));
  want.resize(bytes.size() / 2);
  bf16.dequantize(bytes.data(), want.size(), want.data());
  EXPECT_TRUE(same_bits(read_all(file, 1), want));
}

TEST(Gguf, ThreadsReadAtOnce) {
  const TempFolder folder;
  const GgufFile file(write_test_file(folder / "a.gguf", all_types().bytes()));
  std::vector<std::vector<float>> want;
  for (size_t i = 0; i < file.tensors().size(); ++i) want.push_back(read_all(file, i));
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < want.size(); ++i) wrong[t] += same_bits(read_all(file, i), want[i]) ? 0 : 1;
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

// Big-endian files, files of version 1 and split files hold what the plain file holds (made with the gguf package).
TEST(Gguf, OtherFormsEqualThePlainOne) {
  const std::filesystem::path folder = source_folder() / "tests/expected/gguf";
  const GgufFile plain(folder / "little.gguf");
  ASSERT_EQ(plain.tensors().size(), 4u);
  for (const char* name : {"big.gguf", "v1.gguf", "part-00001-of-00002.gguf", "part-00002-of-00002.gguf"}) {
    SCOPED_TRACE(name);
    const GgufFile file(folder / name);
    ASSERT_EQ(file.tensors().size(), plain.tensors().size());
    for (size_t i = 0; i < file.tensors().size(); ++i) {
      const size_t j = plain.find(file.tensors()[i].name);
      EXPECT_EQ(file.tensors()[i].shape, plain.tensors()[j].shape);
      EXPECT_EQ(file.tensors()[i].stored_type, plain.tensors()[j].stored_type);
      EXPECT_EQ(read_all(file, i), read_all(plain, j));
      const uint64_t n = file.tensors()[i].elements();
      Bytes a(n * dtype_size(file.tensors()[i].dtype)), b(a.size());
      file.read_raw(i, 0, n, a.data());
      plain.read_raw(j, 0, n, b.data());
      EXPECT_EQ(a, b);
    }
    for (const char* key : {"general.name", "tokenizer.ggml.tokens", "x.u64", "x.f"}) {
      EXPECT_NE(file.metadata().find(key), nullptr) << key;
    }
    EXPECT_EQ(file.metadata().uint("x.u64"), plain.metadata().uint("x.u64"));
    EXPECT_EQ(file.metadata().number("x.f"), -1.5);
    EXPECT_EQ(*file.metadata().items<std::string>("tokenizer.ggml.tokens"), (std::vector<std::string>{"a", "bc"}));
    EXPECT_EQ(file.metadata().find("split.count"), nullptr);
  }
}

TEST(Gguf, PartsOfASplitModelMustBeThere) {
  const std::filesystem::path folder = source_folder() / "tests/expected/gguf";
  const TempFolder temp;
  const auto first = temp / "part-00001-of-00002.gguf", second = temp / "part-00002-of-00002.gguf";
  std::filesystem::copy_file(folder / "part-00001-of-00002.gguf", first);
  EXPECT_INPUT_ERROR(GgufFile{first}, "part-00002-of-00002.gguf: expected part 2 of 2 of the split model, found none");
  std::filesystem::copy_file(first, second);  // the first part under the name of the second
  EXPECT_INPUT_ERROR(GgufFile{first}, "expected part 2 of 2, found part 1 of 2");
  std::filesystem::copy_file(first, temp / "other.gguf");
  EXPECT_INPUT_ERROR(GgufFile{temp / "other.gguf"}, "expected the name NAME-00001-of-00002.gguf");
}

TEST(Gguf, ReadsMetadataAndShapes) {
  const TempFolder folder;
  GgufBuilder b;
  b.version = 2;
  b.alignment = 64;
  ByteWriter tokens;
  tokens.put<uint32_t>(8);
  tokens.put<uint64_t>(2);
  put_gguf_string(tokens, "<s>");
  put_gguf_string(tokens, "");
  b.key("general.architecture", "llama").key<uint32_t>("llama.block_count", 4, 30);
  b.key<uint32_t>("general.alignment", 4, 64).key<int32_t>("negative", 5, -3).key<float>("eps", 6, 1e-5f);
  b.key<uint8_t>("flag", 7, 1).key("tokenizer.ggml.tokens", 9, tokens.span());
  const float values[] = {1, 2, 3, 4, 5, 6};
  const ByteSpan data(reinterpret_cast<const uint8_t*>(values), sizeof(values));
  b.tensor("m", {3, 1, 2}, 0, data).tensor("v", {6}, 0, data).tensor("none", {4, 0}, 0, {});
  const GgufFile file(write_test_file(folder / "a.gguf", b.bytes()));
  EXPECT_EQ(file.version(), 2u);
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<uint64_t>{2, 1, 3}));
  EXPECT_EQ(file.tensors()[0].stored_bytes, sizeof(values));
  EXPECT_EQ(file.tensors()[0].stored_type, "");
  EXPECT_EQ(read_all(file, 1), std::vector<float>(values, values + 6));
  EXPECT_EQ(file.tensors()[2].elements(), 0u);
  EXPECT_EQ(file.find("v"), 1u);
  file.read_f32(2, 0, 0, nullptr);

  const GgufMetadata& m = file.metadata();
  EXPECT_EQ(*m.string("general.architecture"), "llama");
  EXPECT_EQ(m.uint("llama.block_count"), 30u);
  EXPECT_EQ(m.uint("negative"), std::nullopt);
  EXPECT_EQ(m.number("negative"), -3);
  EXPECT_EQ(m.number("eps"), static_cast<double>(1e-5f));
  EXPECT_EQ(m.uint("eps"), std::nullopt);
  EXPECT_EQ(m.boolean("flag"), true);
  EXPECT_EQ(m.uint("flag"), std::nullopt);
  EXPECT_EQ(*m.items<std::string>("tokenizer.ggml.tokens"), (std::vector<std::string>{"<s>", ""}));
  EXPECT_EQ(m.items<float>("tokenizer.ggml.tokens"), nullptr);
  EXPECT_EQ(m.string("missing"), nullptr);
  EXPECT_EQ(m.number("missing"), std::nullopt);

  const std::vector<SideFile> side = file.side_files();
  ASSERT_EQ(side.size(), 1u);
  EXPECT_EQ(side[0].name, "gguf.json");
  const std::string json(side[0].bytes.begin(), side[0].bytes.end());
  EXPECT_EQ(json, gguf_metadata_json(m));
}

TEST(Gguf, Stories260kEqualsItsHuggingFaceFolder) {
  OCC_REQUIRE_DATA(path, "models/stories260k/model-f32.gguf");
  OCC_REQUIRE_DATA(folder_path, "models/stories260k/model.safetensors");
  const auto expected = read_expected(folder_path);
  const GgufFile file(path);
  EXPECT_EQ(*file.metadata().string("general.architecture"), "llama");
  EXPECT_EQ(file.metadata().uint("llama.block_count"), 5u);
  const std::map<std::string, std::string> same = {
      {"token_embd.weight", "model.embed_tokens.weight"},
      {"output_norm.weight", "model.norm.weight"},
      {"blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight"},
      {"blk.4.ffn_down.weight", "model.layers.4.mlp.down_proj.weight"},
  };
  for (const auto& [name, theirs] : same) {
    const size_t i = file.find(name);
    ASSERT_LT(i, file.tensors().size()) << name;
    EXPECT_EQ(file.tensors()[i].shape, expected.at(theirs).shape);
    EXPECT_TRUE(same_bits(read_all(file, i), expected.at(theirs).values)) << name;
  }
}

TEST(Gguf, VocabulariesWithoutTensorsOpen) {
  OCC_REQUIRE_DATA(spm, "tokenizers/ggml-vocab-llama-spm.gguf");
  OCC_REQUIRE_DATA(gpt2, "tokenizers/ggml-vocab-gpt-2.gguf");
  for (const auto& path : {spm, gpt2}) {
    const GgufFile file(path);
    EXPECT_TRUE(file.tensors().empty());
    EXPECT_GT(file.metadata().items<std::string>("tokenizer.ggml.tokens")->size(), 30000u);
    const std::string json = gguf_metadata_json(file.metadata());
    EXPECT_EQ(gguf_metadata_json(parse_gguf_metadata_json(json, "gguf.json")), json);
  }
}

}  // namespace
}  // namespace occ
