#include "io/hf.h"

#include <nlohmann/json.hpp>

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "io/json.h"
#include "test_data.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

SideFile side(const std::string& name, const std::string& text) { return {name, Bytes(text.begin(), text.end())}; }

// A file of tensors [3] of F32, all of one value.
void put_shard(const fs::path& path, const std::vector<std::string>& names, float value = 1) {
  std::vector<OutTensor> tensors;
  for (const std::string& name : names) tensors.push_back({name, DType::kF32, {3}});
  SafetensorsWriter writer(path, tensors, {}, false);
  for (size_t i = 0; i < 3 * names.size(); ++i) writer.write(&value, 4);
  writer.commit();
}

class HfTest : public testing::Test {
 protected:
  HfTest() : folder_(temp_ / "model") { fs::create_directory(folder_); }
  void put_index(const std::string& weight_map) {
    put_bytes_for_test(folder_ / "model.safetensors.index.json", R"({"metadata":{},"weight_map":)" + weight_map + "}");
  }
  TempFolder temp_;
  fs::path folder_;
};

TEST_F(HfTest, ReadsASingleFile) {
  put_shard(folder_ / "weights.safetensors", {"a"}, 5);
  EXPECT_EQ(HfFolder(folder_).tensors()[0].name, "a");
  put_shard(folder_ / "other.safetensors", {"b"});
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "found 2 of these");
  put_shard(folder_ / "model.safetensors", {"c", "d"}, 7);
  const HfFolder hf(folder_);
  EXPECT_EQ(hf.format(), "hf");
  EXPECT_EQ(hf.tensors().size(), 2u);
  EXPECT_EQ(hf.file_bytes(), fs::file_size(folder_ / "model.safetensors"));
  float got[2];
  hf.read_f32(1, 1, 2, got);
  EXPECT_EQ(got[1], 7);
}

TEST_F(HfTest, ReadsShards) {
  put_shard(folder_ / "s2.safetensors", {"c"}, 2);
  put_shard(folder_ / "s1.safetensors", {"d", "a"}, 1);
  put_shard(folder_ / "unrelated.safetensors", {"x"}, 3);
  put_index(R"({"a":"s1.safetensors","c":"s2.safetensors","d":"s1.safetensors"})");
  const HfFolder hf(folder_);
  std::string order;
  for (const TensorInfo& t : hf.tensors()) order += t.name;
  EXPECT_EQ(order, "dac");
  float value = 0;
  hf.read_f32(hf.find("c"), 2, 1, &value);
  EXPECT_EQ(value, 2);
  hf.read_raw(hf.find("a"), 0, 1, &value);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(hf.file_bytes(), fs::file_size(folder_ / "s1.safetensors") + fs::file_size(folder_ / "s2.safetensors"));
  EXPECT_EQ(read_all_for_test(hf), 9u);
}

TEST_F(HfTest, BadIndexesAreRefused) {
  put_shard(folder_ / "s.safetensors", {"a", "b"});
  put_shard(temp_ / "outside.safetensors", {"a"});
  struct Case {
    const char* map;
    const char* message;
  };
  const Case cases[] = {
      {"[]", "'weight_map'"},
      {"1}, {", "not valid JSON"},
      {R"({"a":1,"b":"s.safetensors"})", "tensor 'a': expected a file name"},
      {R"({"a":"s.safetensors","b":"s.safetensors","c":"s.safetensors"})", "tensor 'c': expected in 's.safetensors'"},
      {R"({"a":"s.safetensors","b":"t.safetensors"})", "file 't.safetensors', found none"},
      {R"({"a":"../outside.safetensors"})", "plain file name, found '../outside.safetensors'"},
      {R"({"a":"/etc/passwd"})", "plain file name"},
      {R"({"a":"sub/s.safetensors"})", "plain file name"},
      {R"({"a":"..\\s.safetensors"})", "plain file name"},
      {R"({"a":".."})", "plain file name"},
      {R"({"a":""})", "plain file name"},
      {R"({"a":"s.safetensors\u0000x"})", "plain file name"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.map);
    put_index(c.map);
    EXPECT_INPUT_ERROR(HfFolder{folder_}, c.message);
  }
  put_bytes_for_test(folder_ / "model.safetensors.index.json", "[]");
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "'weight_map'");
  put_index(R"({"a":"s.safetensors","b":"s.safetensors"})");
  EXPECT_EQ(HfFolder(folder_).tensors().size(), 2u);
  const std::string shard = get_bytes_for_test(folder_ / "s.safetensors");
  put_bytes_for_test(folder_ / "s.safetensors", shard.substr(0, shard.size() - 1));
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "s.safetensors");
}

// What transformers loads is loaded, with a note where it is odd.
TEST_F(HfTest, OddFoldersAreRead) {
  put_shard(folder_ / "s1.safetensors", {"a", "b"}, 1);
  put_shard(folder_ / "s2.safetensors", {"c", "extra"}, 2);
  const auto names = [&](const HfFolder& hf) {
    std::string all;
    for (const TensorInfo& t : hf.tensors()) all += t.name + " ";
    return all;
  };
  put_index(R"({"a":"s1.safetensors","b":"s1.safetensors","c":"s2.safetensors"})");
  const HfFolder unnamed(folder_);
  EXPECT_EQ(names(unnamed), "a b c ");
  EXPECT_THAT(unnamed.notes(), testing::ElementsAre(testing::HasSubstr("weight_map does not name them: extra")));
  put_index(R"({"a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors","extra":"s2.safetensors"})");
  const HfFolder moved(folder_);
  EXPECT_EQ(moved.tensors().size(), 4u);
  EXPECT_THAT(moved.notes(), testing::ElementsAre(testing::HasSubstr("in another shard than weight_map says: b")));
  put_index(R"({"a":"s1.safetensors","a":"s1.safetensors","b":"s1.safetensors","c":"s2.safetensors"})");
  EXPECT_THAT(HfFolder(folder_).notes(), testing::Contains(testing::HasSubstr("'a' stands twice")));
  // Of two copies, the one counts that the index names.
  put_shard(folder_ / "s2.safetensors", {"a", "c"}, 2);
  put_index(R"({"a":"s2.safetensors","b":"s1.safetensors","c":"s2.safetensors"})");
  const HfFolder twice(folder_);
  float value = 0;
  twice.read_f32(twice.find("a"), 0, 1, &value);
  EXPECT_EQ(value, 2);
  EXPECT_EQ(twice.tensors().size(), 3u);
  // A whole file counts more than an index, also one of shards that are gone.
  put_index(R"({"a":"gone-00001-of-00002.safetensors"})");
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "expected the file 'gone-00001-of-00002.safetensors', found none");
  put_shard(folder_ / "model.safetensors", {"whole"}, 3);
  const HfFolder whole(folder_);
  EXPECT_EQ(names(whole), "whole ");
  EXPECT_THAT(whole.notes(), testing::ElementsAre(testing::HasSubstr("and not the shards of")));
}

// Modules of sentence-transformers come with their folders, and go back into them.
TEST_F(HfTest, ModulesHaveFoldersOfTheirOwn) {
  put_shard(folder_ / "model.safetensors", {"a"}, 1);
  fs::create_directory(folder_ / "2_Dense");
  put_shard(folder_ / "2_Dense/model.safetensors", {"linear.bias", "linear.weight"}, 2);
  put_bytes_for_test(folder_ / "2_Dense/config.json", "{}");
  put_bytes_for_test(folder_ / "modules.json", R"([{"path":"2_Dense","type":"sentence_transformers.models.Dense"}])");
  const HfFolder hf(folder_);
  ASSERT_EQ(hf.tensors().size(), 3u);
  for (const uint64_t shard_bytes : {uint64_t{1}, uint64_t{1} << 30}) {
    const fs::path out = temp_ / ("out" + std::to_string(shard_bytes));
    const auto sink = make_hf_sink(out, {hf.side_files(), shard_bytes, false});
    std::vector<OutTensor> tensors;
    for (const TensorInfo& t : hf.tensors()) tensors.push_back({t.name, t.dtype, t.shape});
    tensors.insert(tensors.begin() + 1, {"b", DType::kF32, {3}});
    sink->begin(tensors);
    for (const size_t i : {0u, 0u, 1u, 2u}) {
      float values[3];
      hf.read_f32(i, 0, 3, values);
      sink->write(values, sizeof(values));
    }
    sink->commit();
    const HfFolder back(out);
    ASSERT_EQ(back.tensors().size(), 4u);
    EXPECT_TRUE(fs::exists(out / "2_Dense/config.json"));
    float value = 0;
    back.read_f32(back.find("2_Dense/linear.weight"), 0, 1, &value);
    EXPECT_EQ(value, 2);
    EXPECT_TRUE(back.notes().empty());
    EXPECT_NE(make_hf_sink(out, {hf.side_files(), shard_bytes, false}), nullptr);  // may be replaced
  }
  put_bytes_for_test(folder_ / "modules.json", R"([{"path":"../x","type":"Dense"}])");
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "plain file name");
}

TEST_F(HfTest, ShardsThatHaveLostTheirIndex) {
  put_shard(folder_ / "model-00001-of-00002.safetensors", {"a"}, 1);
  put_shard(folder_ / "model-00002-of-00002.safetensors", {"b"}, 2);
  const HfFolder hf(folder_);
  EXPECT_EQ(hf.tensors().size(), 2u);
  EXPECT_THAT(hf.notes(), testing::ElementsAre(testing::HasSubstr("all 2 shards are read")));
  put_shard(folder_ / "model-00002-of-00002.safetensors", {"a"}, 2);
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "tensor 'a': expected in one shard");
  fs::rename(folder_ / "model-00002-of-00002.safetensors", folder_ / "model-00003-of-00003.safetensors");
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "found 2 of these");
}

TEST_F(HfTest, PicklesAreRefusedWithAdvice) {
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "found 0 of these");
  put_bytes_for_test(folder_ / "pytorch_model.bin", "x");
  EXPECT_INPUT_ERROR(HfFolder{folder_}, "safe_serialization");
}

TEST_F(HfTest, WritesShardsThatReadBack) {
  const std::vector<OutTensor> tensors = {{"a", DType::kF32, {2, 5}}, {"b", DType::kBF16, {30}},
                                          {"e", DType::kF32, {0}},    {"c", DType::kF32, {25}},
                                          {"d", DType::kI8, {7}},     {"f", DType::kF32, {1}}};
  const uint64_t total = 40 + 60 + 100 + 7 + 4;
  const Bytes data = random_raw_for_test(DType::kU8, total, 9);
  // shard limit -> number of files
  const std::vector<std::pair<uint64_t, size_t>> limits = {{1000, 1}, {211, 1}, {210, 2}, {100, 3}, {64, 4}, {1, 5}};
  for (const auto& [limit, files] : limits) {
    SCOPED_TRACE(limit);
    const fs::path out = temp_ / ("out" + std::to_string(limit));
    const auto sink = make_hf_sink(out, {{side("config.json", "{}"), side("vocab.txt", "a\nb")}, limit});
    sink->begin(tensors);
    for (size_t at = 0; at < data.size(); at += 33)
      sink->write(data.data() + at, std::min<size_t>(33, data.size() - at));
    EXPECT_FALSE(fs::exists(out));
    sink->commit();
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(out)) count += entry.path().extension() == ".safetensors";
    EXPECT_EQ(count, files);
    EXPECT_EQ(fs::exists(out / "model.safetensors"), files == 1);
    EXPECT_EQ(fs::exists(out / "model.safetensors.index.json"), files > 1);
    EXPECT_EQ(get_bytes_for_test(out / "vocab.txt"), "a\nb");

    const HfFolder hf(out);
    ASSERT_EQ(hf.tensors().size(), tensors.size());
    size_t at = 0;
    for (const OutTensor& t : tensors) {
      const TensorInfo& info = hf.tensors()[hf.find(t.name)];
      EXPECT_EQ(info.dtype, t.dtype);
      EXPECT_EQ(info.shape, t.shape);
      Bytes raw(info.stored_bytes);
      hf.read_raw(hf.find(t.name), 0, info.elements(), raw.data());
      EXPECT_TRUE(std::equal(raw.begin(), raw.end(), data.begin() + static_cast<ptrdiff_t>(at))) << t.name;
      at += raw.size();
    }
    const std::vector<SideFile> sides = hf.side_files();
    ASSERT_EQ(sides.size(), 2u);
    EXPECT_EQ(sides[1].name, "vocab.txt");
    if (files > 1) {
      EXPECT_EQ(parse_json_file(out / "model.safetensors.index.json")["metadata"]["total_size"], total);
      EXPECT_TRUE(fs::exists(out / ("model-00001-of-0000" + std::to_string(files) + ".safetensors")));
    }
  }
  size_t left = 0;
  for (const auto& entry : fs::directory_iterator(temp_.path()))
    left += entry.path().string().find(".tmp") != std::string::npos;
  EXPECT_EQ(left, 0u);
}

TEST_F(HfTest, WritesAModelWithoutTensors) {
  const auto sink = make_hf_sink(temp_ / "out/", {});
  sink->begin({});
  sink->commit();
  EXPECT_TRUE(HfFolder(temp_ / "out").tensors().empty());
}

TEST_F(HfTest, NamesOfSideFilesCannotLeaveTheFolder) {
  for (const char* name : {"../x", "/tmp/x", "a/../b", "a/b/c", "a/.", "a/", "", ".", "..", ".hidden", "a\\b"}) {
    EXPECT_INPUT_ERROR(make_hf_sink(temp_ / "out", {{side(name, "")}}), "plain file name");
  }
  EXPECT_INPUT_ERROR(make_hf_sink(temp_ / "out", {{side("model.safetensors", "")}}), "weights");
  EXPECT_FALSE(fs::exists(temp_ / "out"));
}

TEST_F(HfTest, ReplacesOnlyModelsAndLeavesNothingWhenAbandoned) {
  const auto write_to = [&](const fs::path& out, float value) {
    const auto sink = make_hf_sink(out, {{side("config.json", "{}")}});
    sink->begin({{"a", DType::kF32, {1}}});
    sink->write(&value, 4);
    sink->commit();
  };
  write_to(folder_, 1);  // an empty folder
  write_to(folder_, 2);  // a model
  float got = 0;
  HfFolder(folder_).read_f32(0, 0, 1, &got);
  EXPECT_EQ(got, 2);

  put_bytes_for_test(folder_ / "thesis.tex", "mine");
  EXPECT_OCC_ERROR(write_to(folder_, 3), ErrorKind::kFailed, "holds 'thesis.tex'");
  EXPECT_EQ(get_bytes_for_test(folder_ / "thesis.tex"), "mine");
  put_bytes_for_test(temp_ / "plain", "mine");
  EXPECT_OCC_ERROR(write_to(temp_ / "plain", 3), ErrorKind::kFailed, "found a file");

  {
    const auto sink = make_hf_sink(temp_ / "gone", {});
    sink->begin({{"a", DType::kF32, {1}}});
  }
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(temp_.path())) ++entries;
  EXPECT_EQ(entries, 2u);  // model, plain
  EXPECT_USAGE_ERROR(make_hf_sink(temp_ / "gone", {})->begin({{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}}),
                     "twice");
}

TEST_F(HfTest, ReadsARealModelAndItsSideFiles) {
  OCC_REQUIRE_DATA(path, "models/stories260k");
  const HfFolder hf(path);
  EXPECT_GT(read_all_for_test(hf), 200'000u);
  std::vector<std::string> names;
  for (const SideFile& s : hf.side_files()) names.push_back(s.name);
  EXPECT_EQ(names, (std::vector<std::string>{"config.json", "tokenizer.json", "tokenizer_config.json"}));
  EXPECT_TRUE(parse_json_file(path / "tokenizer.json").is_object());
}

}  // namespace
}  // namespace occ
