#include "io/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "io/elements.h"
#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "test_data.h"

namespace occ {
namespace {

// A file of this header text and data.
std::string file_bytes_of(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

class SafetensorsTest : public testing::Test {
 protected:
  std::filesystem::path put(const std::string& bytes) {
    put_bytes_for_test(temp_ / "x.safetensors", bytes);
    return temp_ / "x.safetensors";
  }
  std::filesystem::path put(const std::string& header, const std::string& data) {
    return put(file_bytes_of(header, data));
  }

  TempFolder temp_;
};

TEST_F(SafetensorsTest, RoundTripsEveryDTypeAndShape) {
  const std::vector<std::vector<uint64_t>> shapes = {{}, {0}, {1}, {7, 13}, {3, 0, 5}, {2, 3, 4, 5}, {20001}};
  for (const DType dtype : all_dtypes_for_test()) {
    std::vector<OutTensor> tensors;
    std::vector<Bytes> data;
    Bytes all;
    for (size_t i = 0; i < shapes.size(); ++i) {
      tensors.push_back({"tensor." + std::to_string(i), dtype, shapes[i]});
      data.push_back(random_raw_for_test(dtype, *tensor_bytes(shapes[i], dtype) / dtype_size(dtype), i));
      all.insert(all.end(), data.back().begin(), data.back().end());
    }
    SafetensorsWriter writer(temp_ / "t.safetensors", tensors, {{"k", "v\n\"é"}, {"format", "pt"}});
    for (size_t at = 0; at < all.size(); at += 1000)
      writer.write(all.data() + at, std::min<size_t>(1000, all.size() - at));
    writer.commit();

    const SafetensorsFile file(temp_ / "t.safetensors");
    EXPECT_EQ(file.file_bytes(), writer.file_bytes());
    EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"k", "v\n\"é"}, {"format", "pt"}}));
    ASSERT_EQ(file.tensors().size(), shapes.size());
    EXPECT_EQ(file.data_offset(file.find("tensor.0")) % 64, 0u);
    for (size_t k = 0; k < shapes.size(); ++k) {
      const size_t i = file.find(tensors[k].name);
      const TensorInfo& info = file.tensors()[i];
      EXPECT_EQ(info.dtype, dtype);
      EXPECT_EQ(info.shape, shapes[k]);
      EXPECT_EQ(info.stored_bytes, data[k].size());
      EXPECT_EQ(file.data_offset(i), writer.data_offset(k));
      const uint64_t n = info.elements();
      Bytes raw(data[k].size());
      file.read_raw(i, 0, n, raw.data());
      EXPECT_EQ(raw, data[k]);
      const std::vector<float> expected = floats_for_test(dtype, data[k]);
      for (const uint64_t first : {uint64_t{0}, n / 3, n}) {
        std::vector<float> got(n - first);
        file.read_f32(i, first, n - first, got.data());
        EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin() + static_cast<ptrdiff_t>(first)));
      }
    }
  }
}

TEST_F(SafetensorsTest, WriterPutsWiderTypesFirstOnlyWhenNeeded) {
  const std::vector<OutTensor> aligned = {{"b", DType::kU8, {64}}, {"a", DType::kF32, {3}}, {"c", DType::kBF16, {1}}};
  SafetensorsWriter keeps(temp_ / "a.safetensors", aligned);
  EXPECT_EQ(keeps.data_offset(0) % 64, 0u);
  EXPECT_EQ(keeps.data_offset(1), keeps.data_offset(0) + 64);
  EXPECT_EQ(keeps.data_offset(2), keeps.data_offset(1) + 12);

  const std::vector<OutTensor> odd = {{"b", DType::kU8, {3}}, {"a", DType::kF32, {2}}, {"c", DType::kU8, {2}}};
  SafetensorsWriter moves(temp_ / "b.safetensors", odd);
  EXPECT_EQ(moves.data_offset(0), moves.data_offset(1) + 8);
  EXPECT_EQ(moves.data_offset(2), moves.data_offset(0) + 3);
  const float values[2] = {1.5f, -2.0f};
  moves.write("xyz", 3);
  moves.write(values, 8);
  moves.write("uv", 2);
  moves.commit();
  const SafetensorsFile file(temp_ / "b.safetensors");
  float got[2];
  file.read_f32(file.find("a"), 0, 2, got);
  EXPECT_EQ(got[1], -2.0f);
  char text[3];
  file.read_raw(file.find("b"), 0, 3, text);
  EXPECT_EQ(std::string(text, 3), "xyz");
}

TEST_F(SafetensorsTest, HeaderIsThisText) {
  SafetensorsWriter writer(temp_ / "t.safetensors", {{"w", DType::kF16, {2, 1}}, {"s", DType::kI32, {}}}, {{"a", "b"}});
  writer.write("12345678", 8);
  writer.commit();
  std::string header =
      R"({"__metadata__":{"a":"b"},"w":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},"s":{"dtype":"I32","shape":[],"data_offsets":[4,8]}})";
  header.resize(184, ' ');
  EXPECT_EQ(get_bytes_for_test(temp_ / "t.safetensors"), file_bytes_of(header, "12345678"));
}

TEST_F(SafetensorsTest, WriterRefusesWhatTheFormatCannotHold) {
  const auto path = temp_ / "t.safetensors";
  EXPECT_USAGE_ERROR(SafetensorsWriter(path, {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}), "twice");
  EXPECT_USAGE_ERROR(SafetensorsWriter(path, {{"__metadata__", DType::kU8, {1}}}), "reserved");
  EXPECT_USAGE_ERROR(SafetensorsWriter(path, {{"\xff", DType::kU8, {1}}}), "UTF-8");
  EXPECT_USAGE_ERROR(SafetensorsWriter(path, {{"a", DType::kF32, {uint64_t{1} << 62}}}), "too large");
  EXPECT_USAGE_ERROR(SafetensorsWriter(path, {{"a", DType::kU8, {uint64_t{1} << 62}}, {"b", DType::kU8, {1}}}),
                     "too large");
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path()));  // nothing left behind
}

TEST_F(SafetensorsTest, EmptyFileWithoutTensors) {
  EXPECT_TRUE(SafetensorsFile(put("{}", "")).tensors().empty());
  EXPECT_TRUE(SafetensorsFile(put(R"({"__metadata__":{}}   )", "")).tensors().empty());
  EXPECT_INPUT_ERROR(SafetensorsFile(put("{}", "x")), "cover 1 bytes of data, found 0");
}

TEST_F(SafetensorsTest, TensorsComeInTheOrderOfTheirData) {
  const SafetensorsFile file(put(
      R"({"c":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
      R"("z":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},"a":{"dtype":"F32","shape":[3,0],"data_offsets":[1,1]}})",
      "xyz"));
  std::string order;
  for (const TensorInfo& t : file.tensors()) order += t.name;
  EXPECT_EQ(order, "cazb");
}

TEST_F(SafetensorsTest, BadHeadersAreRefused) {
  struct Case {
    const char* header;
    const char* message;
  };
  const Case cases[] = {
      {R"([])", "to be an object, found array"},
      {R"({"__metadata__":{},"__metadata__":{}})", "'__metadata__' twice"},
      {R"({"a":1})", "tensor 'a': expected an object"},
      {R"({"a":{"dtype":"U8","shape":[4]}})", "member 'data_offsets'"},
      {R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", "member 'shape'"},
      {R"({"a":{"shape":[4],"data_offsets":[0,4]}})", "member 'dtype'"},
      {R"({"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "'dtype' twice"},
      {R"({"a":{"dtype":"C64","shape":[4],"data_offsets":[0,4]}})", "tensor 'a': unsupported dtype"},
      {R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,4]}})", "found 'F6_E2M3'"},
      {R"({"a":{"dtype":"F8_E4M3","shape":[5],"data_offsets":[0,4]}})", "expected 5 bytes for shape [5] of F8_E4M3"},
      {R"({"a":{"dtype":"F4","shape":[7],"data_offsets":[0,4]}})", "whole bytes, found 7 elements of F4"},
      {R"({"a":{"dtype":"F4","shape":[9223372036854775807],"data_offsets":[0,4]}})", "less than 2^63"},
      {R"({"a":{"dtype":7,"shape":[4],"data_offsets":[0,4]}})", "'dtype' to be a string"},
      {R"({"a":{"dtype":"U8","shape":4,"data_offsets":[0,4]}})", "'shape' to be an array"},
      {R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", "found -4"},
      {R"({"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,4]}})", "non-negative integers"},
      {R"({"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}})", "found 4.0"},
      {R"({"a":{"dtype":"U8","shape":["4"],"data_offsets":[0,4]}})", "found \"4\""},
      {R"({"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,4]}})", "below 2^64"},
      {R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,4]}})", "less than 2^63"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "less than 2^63"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", "less than 2^63"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", "less than 2^63"},
      {R"({"a":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}})", "less than 2^63"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0]}})", "2 data_offsets, found 1"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}})", "2 data_offsets, found 3"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", "found [4, 0]"},
      {R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}})", "within 4 bytes"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[18446744073709551612,0]}})", "within 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "expected 8 bytes for shape [2] of F32, found 4"},
      {R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,2]}})", "expected 4 bytes for shape [] of F32, found 2"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "overlaps"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
       "overlaps"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})",
       "overlaps"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "hole"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})", "hole"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "cover 4 bytes of data, found 3"},
      {R"({"a\n":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})", "tensor 'a?'"},
      {R"({"__metadata__":[],"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "__metadata__ to be an object"},
      {R"({"__metadata__":{"k":1},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "strings in __metadata__"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}} x)", "not valid JSON"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}{)", "not valid JSON"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.header);
    const auto path = put(c.header, "abcd");
    EXPECT_INPUT_ERROR(SafetensorsFile{path}, c.message);
    EXPECT_INPUT_ERROR(SafetensorsFile{path}, "x.safetensors");
  }
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_INPUT_ERROR(
      SafetensorsFile(put(R"({"a":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", "x")), "64 dim");
}

TEST_F(SafetensorsTest, LyingHeaderLengthsAreRefused) {
  for (const uint64_t length : {uint64_t{3}, uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}}) {
    std::string bytes = file_bytes_of("{}", "");
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_INPUT_ERROR(SafetensorsFile(put(bytes)), "header");
  }
  EXPECT_INPUT_ERROR(SafetensorsFile(put("", "")), "not valid JSON");
  EXPECT_INPUT_ERROR(SafetensorsFile(put("<!doctype html><html></html>")), "found a page of HTML or XML");
  EXPECT_INPUT_ERROR(SafetensorsFile(put("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 123\n")),
                     "found its git-lfs pointer: 'git lfs pull' fetches the file");
  EXPECT_INPUT_ERROR(SafetensorsFile(temp_ / "none.safetensors"), "none.safetensors");
}

// What the reference implementation (0.8.0) loads is loaded.
TEST_F(SafetensorsTest, OddHeadersAreRead) {
  const char* a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  for (const std::string& header :
       {fmt::format(R"({{"__metadata__":null,{}}})", a), fmt::format(R"(  {{{}}})", a), fmt::format("{{{}}} \n\t", a),
        fmt::format(R"({{{},{}}})", a, a),
        fmt::format(R"({{"a":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}},{}}})", a),
        std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"requires_grad":false}})")}) {
    SCOPED_TRACE(header);
    const SafetensorsFile file(put(header, "abcd"));
    ASSERT_EQ(file.tensors().size(), 1u);
    EXPECT_EQ(file.tensors()[0].shape, std::vector<uint64_t>{4});
    EXPECT_TRUE(file.metadata().empty());
    EXPECT_EQ(file.notes().size(), header.find("\"a\"") != header.rfind("\"a\"") ? 1u : 0u);
  }
}

// Values by the definitions of the types; BF16 holds all of them.
TEST_F(SafetensorsTest, FloatsOfFourAndEightBits) {
  struct Case {
    const char* dtype;
    std::string bytes;
    std::vector<float> values;
  };
  const float inf = std::numeric_limits<float>::infinity();
  const Case cases[] = {
      {"F8_E4M3", {'\x00', '\x01', '\x38', '\x7e', '\xfe', '\x08'}, {0, 0x1p-9f, 1, 448, -448, 0x1p-6f}},
      {"F8_E5M2", {'\x01', '\x3c', '\x7b', '\x7c', '\xfc', '\xc0'}, {0x1p-16f, 1, 57344, inf, -inf, -2}},
      {"F8_E8M0", {'\x00', '\x7f', '\xfe', '\x80'}, {0x1p-127f, 1, 0x1p127f, 2}},
      {"F8_E4M3FNUZ", {'\x40', '\x7f', '\xff', '\x01'}, {1, 240, -240, 0x1p-10f}},
      {"F8_E5M2FNUZ", {'\x40', '\x7f', '\x01', '\xc0'}, {1, 57344, 0x1p-17f, -1}},
      {"F4", {'\x10', '\x72', '\xf9'}, {0, 0.5f, 1, 6, -0.5f, -6}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.dtype);
    const size_t n = c.values.size();
    const SafetensorsFile file(put(
        fmt::format(R"({{"w":{{"dtype":"{}","shape":[{},2],"data_offsets":[0,{}]}}}})", c.dtype, n / 2, c.bytes.size()),
        c.bytes));
    EXPECT_EQ(file.tensors()[0].stored_type, c.dtype);
    EXPECT_EQ(file.tensors()[0].stored_bytes, c.bytes.size());
    EXPECT_EQ(file.tensors()[0].dtype, DType::kBF16);
    for (size_t first = 0; first < n; ++first) {
      std::vector<float> got(n - first);
      file.read_f32(0, first, n - first, got.data());
      EXPECT_TRUE(std::equal(got.begin(), got.end(), c.values.begin() + static_cast<ptrdiff_t>(first)));
      std::vector<uint16_t> raw(n - first);
      file.read_raw(0, first, n - first, raw.data());
      for (size_t i = 0; i < raw.size(); ++i) EXPECT_EQ(bf16_to_f32(raw[i]), got[i]);
    }
  }
  for (const auto& [dtype, code] : {std::pair("F8_E4M3", "\x7f"), std::pair("F8_E5M2", "\x7d"),
                                    std::pair("F8_E8M0", "\xff"), std::pair("F8_E4M3FNUZ", "\x80")}) {
    const SafetensorsFile file(
        put(fmt::format(R"({{"w":{{"dtype":"{}","shape":[1],"data_offsets":[0,1]}}}})", dtype), code));
    float value = 0;
    file.read_f32(0, 0, 1, &value);
    EXPECT_TRUE(std::isnan(value)) << dtype;
  }
}

class SafetensorsCorruptionTest : public SafetensorsTest {
 protected:
  void SetUp() override {
    SafetensorsWriter writer(
        temp_ / "good.safetensors",
        {{"w", DType::kF32, {3, 2}}, {"b", DType::kBF16, {5}}, {"e", DType::kF16, {0}}, {"i", DType::kI8, {3}}},
        {{"format", "pt"}});
    const Bytes data = random_raw_for_test(DType::kU8, 24 + 10 + 3, 1);
    writer.write(data.data(), data.size());
    writer.commit();
    good_ = get_bytes_for_test(temp_ / "good.safetensors");
  }
  std::string good_;
};

TEST_F(SafetensorsCorruptionTest, EveryTruncationIsAnError) {
  EXPECT_EQ(read_all_for_test(SafetensorsFile(put(good_))), 14u);
  for (size_t n = 0; n < good_.size(); ++n)
    EXPECT_INPUT_ERROR(SafetensorsFile(put(good_.substr(0, n))), "x.safetensors");
  EXPECT_INPUT_ERROR(SafetensorsFile(put(good_ + "x")), "cover");
}

TEST_F(SafetensorsCorruptionTest, EveryChangedByteIsReadOrRefused) {
  size_t refused = 0;
  for (size_t at = 0; at < good_.size(); ++at) {
    for (const int flip : {1, 0x10, 0x80}) {
      std::string bad = good_;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      try {
        read_all_for_test(SafetensorsFile(put(bad)));
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput);
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, good_.size());  // the header is most of the file
}

TEST_F(SafetensorsTest, ReadsARealModel) {
  OCC_REQUIRE_DATA(path, "models/stories260k/model.safetensors");
  const SafetensorsFile file(path);
  EXPECT_GT(read_all_for_test(file), 200'000u);
  const size_t i = file.find("model.embed_tokens.weight");
  ASSERT_LT(i, file.tensors().size());
  EXPECT_EQ(file.tensors()[i].shape, (std::vector<uint64_t>{512, 64}));
  uint64_t stored = 0;
  for (const TensorInfo& t : file.tensors()) stored += t.stored_bytes;
  EXPECT_EQ(stored + file.data_offset(0), file.file_bytes());
}

}  // namespace
}  // namespace occ
