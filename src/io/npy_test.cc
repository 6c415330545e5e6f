#include "io/npy.h"

#include <numeric>

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "test_data.h"

namespace occ {
namespace {

// A version 1.0 file with this dict, not padded.
std::string npy_bytes(const std::string& dict, const std::string& data, char major = 1) {
  std::string out = "\x93NUMPY";
  out += {major, '\0', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  if (major > 1) out += std::string(2, '\0');
  return out + dict + data;
}

class NpyTest : public testing::Test {
 protected:
  std::filesystem::path put(const std::string& bytes) {
    put_bytes_for_test(temp_ / "x.npy", bytes);
    return temp_ / "x.npy";
  }
  TempFolder temp_;
};

TEST_F(NpyTest, RoundTripsEveryDTypeAndShape) {
  const std::vector<std::vector<uint64_t>> shapes = {{}, {0}, {1}, {9}, {7, 13}, {3, 0, 5}, {2, 3, 4, 5}, {70, 301}};
  for (const DType dtype : all_dtypes_for_test()) {
    if (dtype == DType::kBF16) continue;
    for (const auto& shape : shapes) {
      const uint64_t n = std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
      const Bytes data = random_raw_for_test(dtype, n, 5);
      const auto sink = make_npy_sink(temp_ / "array.v2.npy", {});
      sink->begin({{"any name", dtype, shape}});
      sink->write(data.data(), data.size() / 3);
      sink->write(data.data() + data.size() / 3, data.size() - data.size() / 3);
      sink->commit();

      const NpyFile file(temp_ / "array.v2.npy");
      ASSERT_EQ(file.tensors().size(), 1u);
      const TensorInfo& info = file.tensors()[0];
      EXPECT_EQ(info.name, "array.v2");
      EXPECT_EQ(info.dtype, dtype);
      EXPECT_EQ(info.shape, shape);
      EXPECT_EQ((file.file_bytes() - data.size()) % 64, 0u);
      Bytes raw(data.size());
      file.read_raw(0, 0, n, raw.data());
      EXPECT_EQ(raw, data);
      const std::vector<float> expected = floats_for_test(dtype, data);
      std::vector<float> got(n - n / 3);
      file.read_f32(0, n / 3, got.size(), got.data());
      EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin() + static_cast<ptrdiff_t>(n / 3)));
    }
  }
}

TEST_F(NpyTest, HeaderIsWhatNumpyWrites) {
  // numpy.save of numpy.zeros((2, 3), 'f4'), numpy.zeros(5, 'i1'), numpy.float64(0).
  EXPECT_EQ(format_npy_header({DType::kF32, false, {2, 3}}),
            std::string("\x93NUMPY\1\0v\0", 10) + "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" +
                std::string(58, ' ') + "\n");
  EXPECT_THAT(format_npy_header({DType::kI8, false, {5}}),
              testing::HasSubstr("'|i1', 'fortran_order': False, 'shape': (5,), }"));
  EXPECT_THAT(format_npy_header({DType::kF64, true, {}}),
              testing::HasSubstr("'<f8', 'fortran_order': True, 'shape': (), }"));
}

// The oracle writes element (k0, k1, ...) at its Fortran place by counting indices one by one.
TEST_F(NpyTest, FortranOrderIsTransposed) {
  const std::vector<std::vector<uint64_t>> shapes = {{6},          {3, 4},    {1, 5}, {5, 1}, {4, 3, 2},
                                                     {2, 5, 3, 4}, {129, 67}, {0, 4}, {3, 0}};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8, DType::kF64}) {
    for (const auto& shape : shapes) {
      const uint64_t n = std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
      const size_t size = dtype_size(dtype);
      const Bytes c_order = random_raw_for_test(dtype, n, 11);
      std::string f_order(c_order.size(), '\0');
      std::vector<uint64_t> index(shape.size(), 0);
      for (uint64_t i = 0; i < n; ++i) {
        uint64_t at = 0;
        for (size_t d = shape.size(); d-- > 0;) at = at * shape[d] + index[d];
        std::copy_n(c_order.begin() + static_cast<ptrdiff_t>(i * size), size,
                    f_order.begin() + static_cast<ptrdiff_t>(at * size));
        for (size_t d = shape.size(); d-- > 0 && ++index[d] == shape[d];) index[d] = 0;
      }
      const NpyFile file(put(format_npy_header({dtype, true, shape}) + f_order));
      const std::vector<float> expected = floats_for_test(dtype, c_order);
      for (const uint64_t first : {uint64_t{0}, n / 2, n - std::min<uint64_t>(n, 1), n}) {
        for (const uint64_t count : {uint64_t{0}, (n - first) / 3, n - first}) {
          std::vector<float> got(count);
          file.read_f32(0, first, count, got.data());
          EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin() + static_cast<ptrdiff_t>(first)));
          Bytes raw(count * size);
          file.read_raw(0, first, count, raw.data());
          EXPECT_TRUE(std::equal(raw.begin(), raw.end(), c_order.begin() + static_cast<ptrdiff_t>(first * size)));
        }
      }
    }
  }
}

TEST_F(NpyTest, ReadsAllVersionsAndSpellings) {
  const std::string data(8, 'a');
  for (const char major : {1, 2, 3}) {
    const NpyFile file(put(npy_bytes("{'descr':'<f4','fortran_order':False,'shape':(2,)}", data, major)));
    EXPECT_EQ(file.tensors()[0].shape, std::vector<uint64_t>{2});
  }
  const char* const same[] = {
      "{\"shape\" : ( 2 , ) , \"descr\" : \"<f4\", \"fortran_order\" : True , }  \n",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }",
      " {'fortran_order':False,\n'shape':(1,2),\t'descr':'<f4'}",
      "{'descr': '|u1', 'fortran_order': False, 'shape': (2,4,), }",
  };
  for (const char* dict : same) EXPECT_EQ(NpyFile(put(npy_bytes(dict, data))).tensors()[0].stored_bytes, 8u) << dict;
}

TEST_F(NpyTest, BadHeadersAreRefused) {
  struct Case {
    const char* dict;
    const char* message;
  };
  const Case cases[] = {
      {"", "expected '{'"},
      {"{", "a string"},
      {"{}", "descr, fortran_order and shape"},
      {"{'descr': '<f4', 'fortran_order': False}", "descr, fortran_order and shape"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "nothing after"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", "',' or '}'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,", "integer"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2", "',' or ')'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "',' or ')'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': 2}", "expected '('"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': [2]}", "expected '('"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "non-negative integer"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}", "',' or ')'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}", "below 2^64"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}", "less than 2^63"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296)}", "less than 2^63"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387906,)}", "less than 2^63"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "expected 12 bytes for shape [3] of F32, found 8"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "expected 4 bytes for shape [1] of F32, found 8"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "True or False"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "'descr' twice"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "found 'x'"},
      {"{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", "big-endian '>f4'"},
      {"{'descr': '=f4', 'fortran_order': False, 'shape': (2,)}", "found '=f4'"},
      {"{'descr': '|f4', 'fortran_order': False, 'shape': (2,)}", "found '|f4'"},
      {"{'descr': 'f4', 'fortran_order': False, 'shape': (2,)}", "found 'f4'"},
      {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", "found ''"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "found '<c8'"},
      {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "found '|O'"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "structured"},
      {"{'descr': '<f4\\x00', 'fortran_order': False, 'shape': (2,)}", "without escapes"},
      {"{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}", "npy header"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.dict);
    const auto path = put(npy_bytes(c.dict, "abcdefgh"));
    EXPECT_INPUT_ERROR(NpyFile{path}, c.message);
    EXPECT_INPUT_ERROR(NpyFile{path}, "x.npy");
  }
  const std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
  EXPECT_INPUT_ERROR(NpyFile(put(npy_bytes(dict, "abcdefgh", 4))), "found 4.0");
  EXPECT_INPUT_ERROR(NpyFile(put(npy_bytes(dict + std::string(1, '\0'), "abcdefgh"))), "nothing after");
  EXPECT_INPUT_ERROR(NpyFile(put("\x93NUMPX" + std::string(80, ' '))), "magic");
  EXPECT_INPUT_ERROR(NpyFile(put(std::string("\x93NUMPY\2\0\xff\xff\xff\xff", 12))), "at most");
  EXPECT_INPUT_ERROR(NpyFile(put("PK")), "x.npy");
}

TEST_F(NpyTest, TruncatedAndChangedFilesAreReadOrRefused) {
  for (const bool fortran : {false, true}) {
    const std::string good = format_npy_header({DType::kF16, fortran, {3, 4}}) + std::string(24, 'x');
    EXPECT_EQ(read_all_for_test(NpyFile(put(good))), 12u);
    for (size_t n = 0; n < good.size(); ++n) EXPECT_INPUT_ERROR(NpyFile(put(good.substr(0, n))), "x.npy");
    EXPECT_INPUT_ERROR(NpyFile(put(good + "x")), "found 25");
    size_t refused = 0;
    for (size_t at = 0; at < good.size(); ++at) {
      for (const int flip : {1, 2, 7, 0x10, 0x80}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ flip);
        try {
          read_all_for_test(NpyFile(put(bad)));
        } catch (const Error& e) {
          EXPECT_EQ(e.kind(), ErrorKind::kInput);
          ++refused;
        }
      }
    }
    EXPECT_GT(refused, good.size());
  }
}

// A file that becomes shorter must not end the process, as it does where it is mapped into memory.
TEST_F(NpyTest, FilesThatShrinkAreAnError) {
  for (const char* order : {"True", "False"}) {
    const std::string dict = fmt::format("{{'descr': '<f4', 'fortran_order': {}, 'shape': (3000, 5), }}", order);
    const std::filesystem::path path = put(npy_bytes(dict, std::string(60000, 'x')));
    const NpyFile file(path);
    std::filesystem::resize_file(path, 200);
    std::vector<float> values(15000);
    EXPECT_THROW(file.read_f32(0, 0, values.size(), values.data()), Error);
    EXPECT_THROW(file.read_raw(0, 0, values.size(), values.data()), Error);
  }
}

TEST_F(NpyTest, SinkRefusesWhatTheFormatCannotHold) {
  EXPECT_USAGE_ERROR(make_npy_sink(temp_ / "a.npy", {})->begin({}), "--tensor");
  EXPECT_USAGE_ERROR(make_npy_sink(temp_ / "a.npy", {})->begin({{"a", DType::kF32, {1}}, {"b", DType::kF32, {1}}}),
                     "--tensor");
  EXPECT_USAGE_ERROR(make_npy_sink(temp_ / "a.npy", {})->begin({{"a", DType::kBF16, {1}}}), "--dtype");
  EXPECT_USAGE_ERROR(make_npy_sink(temp_ / "a.npy", {})->begin({{"a", DType::kF32, {uint64_t{1} << 61}}}), "too large");
  EXPECT_TRUE(std::filesystem::is_empty(temp_.path()));
}

}  // namespace
}  // namespace occ
