#include "io/vecs.h"

#include <cstring>

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "test_data.h"

namespace occ {
namespace {

std::string int_bytes(int32_t value) {
  std::string out(4, '\0');
  std::memcpy(out.data(), &value, 4);
  return out;
}

// Rows of random values with their headers, and the values alone.
struct Sample {
  std::string file;
  Bytes values;
};
Sample make_rows(DType dtype, uint64_t rows, uint64_t cols) {
  Sample s;
  s.values = random_raw_for_test(dtype, rows * cols, rows + cols);
  const size_t row_bytes = cols * dtype_size(dtype);
  for (uint64_t r = 0; r < rows; ++r) {
    s.file += int_bytes(static_cast<int32_t>(cols));
    s.file.append(reinterpret_cast<const char*>(s.values.data()) + r * row_bytes, row_bytes);
  }
  return s;
}

class VecsTest : public testing::Test {
 protected:
  std::filesystem::path put(const std::string& bytes, const std::string& name = "base.fvecs") {
    put_bytes_for_test(temp_ / name, bytes);
    return temp_ / name;
  }
  TempFolder temp_;
};

TEST_F(VecsTest, ReadsAnyRangeOfAnyType) {
  struct Type {
    const char* name;
    DType dtype;
  };
  for (const Type type : {Type{"fvecs", DType::kF32}, Type{"bvecs", DType::kU8}, Type{"ivecs", DType::kI32}}) {
    // One value a row, odd sizes, many rows a panel, rows longer than a panel.
    for (const Shape shape :
         {Shape{1, 1}, Shape{5, 1}, Shape{7, 3}, Shape{300, 128}, Shape{2, 4095}, Shape{3, 40001}}) {
      const Sample s = make_rows(type.dtype, shape.rows, shape.cols);
      const VecsFile file(put(s.file, std::string("base.") + type.name));
      EXPECT_EQ(file.format(), type.name);
      ASSERT_EQ(file.tensors().size(), 1u);
      EXPECT_EQ(file.tensors()[0].name, "base");
      EXPECT_EQ(file.tensors()[0].shape, (std::vector<uint64_t>{shape.rows, shape.cols}));
      EXPECT_EQ(file.tensors()[0].dtype, type.dtype);
      const std::vector<float> expected = floats_for_test(type.dtype, s.values);
      const uint64_t n = shape.size();
      const size_t size = dtype_size(type.dtype);
      for (const uint64_t first : {uint64_t{0}, n / 2, shape.cols - 1, n - 1, n}) {
        for (const uint64_t count : {uint64_t{0}, uint64_t{1}, (n - first) / 2, n - first}) {
          if (count > n - first) continue;
          std::vector<float> got(count);
          file.read_f32(0, first, count, got.data());
          EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin() + static_cast<ptrdiff_t>(first)));
          Bytes raw(count * size);
          file.read_raw(0, first, count, raw.data());
          EXPECT_TRUE(std::equal(raw.begin(), raw.end(), s.values.begin() + static_cast<ptrdiff_t>(first * size)));
        }
      }
    }
  }
}

TEST_F(VecsTest, WrongDimensionInAnyRowIsFound) {
  for (const Shape shape : {Shape{9, 5}, Shape{4, 5000}}) {
    const Sample s = make_rows(DType::kF32, shape.rows, shape.cols);
    for (size_t row = 1; row < shape.rows; ++row) {
      for (const int32_t wrong : {0, -1, static_cast<int32_t>(shape.cols) + 1}) {
        std::string bad = s.file;
        bad.replace(row * (4 + 4 * shape.cols), 4, int_bytes(wrong));
        const VecsFile file(put(bad));
        EXPECT_INPUT_ERROR(read_all_for_test(file), "row " + std::to_string(row));
        std::vector<float> before(row * shape.cols);
        file.read_f32(0, 0, before.size(), before.data());  // rows before it are fine
      }
    }
  }
}

TEST_F(VecsTest, BadFilesAreRefused) {
  EXPECT_INPUT_ERROR(VecsFile(put("")), "base.fvecs");
  EXPECT_INPUT_ERROR(VecsFile(put(int_bytes(0))), "found 0");
  EXPECT_INPUT_ERROR(VecsFile(put(int_bytes(-128) + "abcd")), "found -128");
  EXPECT_INPUT_ERROR(VecsFile(put(int_bytes(0x7fffffff) + "abcd")), "found 2147483647");
  EXPECT_INPUT_ERROR(VecsFile(put(int_bytes(1) + "abcd", "x.vecs")), "found '.vecs'");
  const std::string good = make_rows(DType::kF32, 4, 3).file;
  for (size_t n = 0; n < good.size(); ++n) {
    if (n % 16 == 0 && n > 0) continue;  // a file of fewer rows
    EXPECT_INPUT_ERROR(VecsFile(put(good.substr(0, n))), "base.fvecs");
  }
  for (size_t at = 0; at < good.size(); ++at) {
    for (const int flip : {1, 2, 0x10, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      try {
        read_all_for_test(VecsFile(put(bad)));
        EXPECT_GE(at % 16, at < 4 ? 0u : 4u) << "a changed header was not seen at byte " << at;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput);
      }
    }
  }
}

TEST_F(VecsTest, SinkWritesRowsOfTheMatrixShape) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kU8}) {
    const std::vector<uint64_t> shape = {6, 5, 16};  // matrix_shape: [6, 80]
    const Bytes data = random_raw_for_test(dtype, 480, 3);
    const auto sink = make_fvecs_sink(temp_ / "out.fvecs", {});
    sink->begin({{"w", dtype, shape}});
    for (size_t at = 0; at < data.size(); at += 77)
      sink->write(data.data() + at, std::min<size_t>(77, data.size() - at));
    sink->commit();
    const VecsFile file(temp_ / "out.fvecs");
    EXPECT_EQ(file.tensors()[0].shape, (std::vector<uint64_t>{6, 80}));
    std::vector<float> got(480);
    file.read_f32(0, 0, 480, got.data());
    EXPECT_EQ(got, floats_for_test(dtype, data));
  }
  EXPECT_USAGE_ERROR(make_fvecs_sink(temp_ / "a.fvecs", {})->begin({}), "--tensor");
  EXPECT_USAGE_ERROR(make_fvecs_sink(temp_ / "a.fvecs", {})->begin({{"a", DType::kF32, {1}}, {"b", DType::kF32, {1}}}),
                     "--tensor");
  EXPECT_USAGE_ERROR(make_fvecs_sink(temp_ / "a.fvecs", {})->begin({{"a", DType::kF32, {4, 0}}}), "shape [4, 0]");
  EXPECT_FALSE(std::filesystem::exists(temp_ / "a.fvecs"));
}

TEST_F(VecsTest, ReadsRealVectors) {
  OCC_REQUIRE_DATA(folder, "vectors");
  const VecsFile base(folder / "sift5k_base4500.fvecs");
  EXPECT_EQ(base.tensors()[0].shape, (std::vector<uint64_t>{4500, 128}));
  EXPECT_EQ(read_all_for_test(base), 4500u * 128);
  const VecsFile truth(folder / "sift5k_gt100_l2.ivecs");
  EXPECT_EQ(truth.tensors()[0].shape, (std::vector<uint64_t>{500, 100}));
  std::vector<float> ids(500 * 100);
  truth.read_f32(0, 0, ids.size(), ids.data());
  EXPECT_TRUE(std::all_of(ids.begin(), ids.end(), [](float id) { return id >= 0 && id < 4500; }));
  // The copy is the file.
  std::vector<float> values(4500 * 128);
  base.read_f32(0, 0, values.size(), values.data());
  const auto sink = make_fvecs_sink(temp_ / "copy.fvecs", {});
  sink->begin({{"base", DType::kF32, {4500, 128}}});
  sink->write(values.data(), values.size() * 4);
  sink->commit();
  EXPECT_EQ(get_bytes_for_test(temp_ / "copy.fvecs"), get_bytes_for_test(folder / "sift5k_base4500.fvecs"));
}

}  // namespace
}  // namespace occ
