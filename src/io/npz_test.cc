#include "io/npz.h"

#include <gmock/gmock.h>
#include <zip.h>

#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "test_data.h"

namespace occ {
namespace {

struct ZipEntry {
  std::string name, bytes;
  int method = ZIP_CM_STORE;
};

class NpzTest : public testing::Test {
 protected:
  std::filesystem::path put(const std::vector<ZipEntry>& entries) {
    std::filesystem::remove(path_);
    zip_t* archive = zip_open(path_.c_str(), ZIP_CREATE | ZIP_EXCL, nullptr);
    EXPECT_NE(archive, nullptr);
    for (const ZipEntry& e : entries) {
      zip_source_t* source = zip_source_buffer(archive, e.bytes.data(), e.bytes.size(), 0);
      const zip_int64_t i = zip_file_add(archive, e.name.c_str(), source, 0);
      EXPECT_GE(i, 0) << zip_strerror(archive);
      zip_set_file_compression(archive, static_cast<zip_uint64_t>(i), e.method, 0);
    }
    EXPECT_EQ(zip_close(archive), 0);
    return path_;
  }
  std::filesystem::path put_bytes(const std::string& bytes) {
    put_bytes_for_test(path_, bytes);
    return path_;
  }
  static std::string text(const Bytes& b) { return {b.begin(), b.end()}; }

  TempFolder temp_;
  std::filesystem::path path_ = temp_ / "x.npz";
};

TEST_F(NpzTest, EveryArrayIsATensor) {
  const Bytes a = random_raw_for_test(DType::kF32, 70 * 301, 1), b = random_raw_for_test(DType::kI16, 12, 2);
  std::string fortran;  // of b as [3, 4]: column by column
  for (size_t col = 0; col < 4; ++col) {
    for (size_t row = 0; row < 3; ++row) fortran += text(b).substr(2 * (4 * row + col), 2);
  }
  for (const int method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
    const NpzFile file(put({{"layer.0.w.npy", format_npy_header({DType::kF32, false, {70, 301}}) + text(a), method},
                            {"b.npy", format_npy_header({DType::kI16, true, {3, 4}}) + fortran, method},
                            {"none.npy", format_npy_header({DType::kF64, false, {0, 3}}), method}}));
    EXPECT_EQ(file.format(), "npz");
    EXPECT_EQ(file.file_bytes(), std::filesystem::file_size(path_));
    ASSERT_EQ(file.tensors().size(), 3u);
    EXPECT_EQ(file.tensors()[0].name, "layer.0.w");
    EXPECT_EQ(file.tensors()[0].shape, (std::vector<uint64_t>{70, 301}));
    EXPECT_EQ(file.tensors()[1].dtype, DType::kI16);
    EXPECT_EQ(read_all_for_test(file), 70 * 301 + 12u);
    const std::vector<float> expected = floats_for_test(DType::kF32, a), integers = floats_for_test(DType::kI16, b);
    std::vector<float> got(1000);
    Bytes raw(b.size());
    for (int again = 0; again < 2; ++again) {  // only one array is in memory at a time
      file.read_f32(0, 5000, got.size(), got.data());
      EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin() + 5000));
      file.read_raw(1, 0, 12, raw.data());
      EXPECT_EQ(raw, b);
    }
    file.read_f32(1, 5, 7, got.data());
    EXPECT_TRUE(std::equal(integers.begin() + 5, integers.end(), got.begin()));
  }
}

TEST_F(NpzTest, WhatWouldBeLostIsRefused) {
  const std::string good = format_npy_header({DType::kF16, false, {4}}) + "abcdefgh";
  EXPECT_INPUT_ERROR(NpzFile(put({{"a.npy", good}, {"notes.txt", "x"}})), "found 'notes.txt'");
  EXPECT_INPUT_ERROR(NpzFile(put({{"a.npy", good + "x"}})), "'a.npy': expected 8 bytes for shape [4] of F16, found 9");
  EXPECT_INPUT_ERROR(NpzFile(put({{"a.npy", "x"}})), "'a.npy'");
  EXPECT_INPUT_ERROR(NpzFile(put({{"a.npy", ""}})), "'a.npy'");
  EXPECT_INPUT_ERROR(NpzFile(put({{"a.npy", good, ZIP_CM_BZIP2}})), "stored or deflated array, found zip method 12");
  EXPECT_INPUT_ERROR(NpzFile(put_bytes("PK")), "x.npz: expected a zip archive");
  EXPECT_INPUT_ERROR(NpzFile(temp_ / "none.npz"), "none.npz");
}

TEST_F(NpzTest, TruncatedAndChangedFilesAreReadOrRefused) {
  for (const int method : {ZIP_CM_STORE, ZIP_CM_DEFLATE}) {
    const std::string values(96, 'x');
    put({{"a.npy", format_npy_header({DType::kF16, false, {12, 4}}) + values, method}});
    const std::string good = get_bytes_for_test(path_);
    EXPECT_EQ(read_all_for_test(NpzFile(path_)), 48u);
    for (size_t n = 0; n < good.size(); n += 3) EXPECT_INPUT_ERROR(NpzFile(put_bytes(good.substr(0, n))), "x.npz");
    size_t refused = 0, changed = 0;
    for (size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x11);
      try {
        const NpzFile file(put_bytes(bad));
        for (const TensorInfo& t : file.tensors()) {
          Bytes raw(t.elements() * dtype_size(t.dtype));
          file.read_raw(0, 0, t.elements(), raw.data());
          changed += text(raw) != values;
        }
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kInput);
        ++refused;
      }
    }
    EXPECT_GT(refused, good.size() / 3);
    EXPECT_EQ(changed, 0u);  // the checksum of the zip archive covers all data
  }
}

}  // namespace
}  // namespace occ
