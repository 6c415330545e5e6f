#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <numeric>

#include "base/hash.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "container/archive_file.h"
#include "container/blob.h"
#include "container/index.h"
#include "container/values_hash.h"
#include "io/expect_error_for_test.h"
#include "occ/archive.h"
#include "occ/compress.h"
#include "operators/operator.h"
#include "simd/for_each_target_for_test.h"
#include "test_data.h"

namespace occ {
namespace {

TEST(Blob, RoundTripsAndIsPadded) {
  for (const size_t count : {0, 1, 3, 200}) {
    std::vector<CodedPlane> planes;
    std::vector<uint64_t> sizes;
    for (size_t i = 0; i < count; ++i) {
      planes.push_back({"p", Bytes(i * 37 % 300, static_cast<uint8_t>(i))});
      sizes.push_back(planes.back().bytes.size());
    }
    const Bytes blob = pack_blob(planes);
    EXPECT_EQ(blob.size() % 64, 0u);
    EXPECT_EQ(blob.size(), blob_bytes(sizes));
    const auto spans = unpack_blob(blob, "test");
    ASSERT_EQ(spans.size(), count);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(Bytes(spans[i].begin(), spans[i].end()), planes[i].bytes);
    for (size_t cut = 0; cut < blob.size() && count == 3; ++cut) {
      if (cut % 64 != 0 || cut == 0) {
        // If only padding is cut off, the blob is still readable. Checksums detect that.
        try {
          unpack_blob(ByteSpan(blob).first(cut), "test");
        } catch (const Error&) {
        }
      }
    }
  }
  const Bytes lying = {200, 200, 200, 200, 1};
  EXPECT_THROW(unpack_blob(lying, "test"), Error);
  const Bytes padding = {1, 0, 7};
  EXPECT_THROW(unpack_blob(padding, "test"), Error);
}

ArchiveIndex sample_index() {
  ArchiveIndex index;
  index.tool = "occ test";
  index.seed = ~uint64_t{0};
  index.source_format = "hf";
  index.source_hash = 0x0123456789abcdefULL;
  index.tensors.push_back({"a \"quoted\" ü", {3, 4}, DType::kBF16, "uniform > bitpack", 1, 2, 0.0125});
  index.tensors.push_back({"kept", {}, DType::kI64, "", 3, 0, 0});
  index.tensors.push_back({"b", {0, 4}, DType::kF32, "uniform > rans", ~uint64_t{0}, 5, 1e-300});
  index.tensors.push_back({"c", {1}, DType::kF32, "uniform > bitpack", 6, 7, std::numeric_limits<double>::infinity()});
  index.tensors.push_back({"d", {2}, DType::kF32, "uniform > bitpack", 8, 9, 0.5, 0.25, {0, 192, 255}});
  index.tensors.push_back({"e", {2}, DType::kF32, "uniform > bitpack", 8, 9, 0.5, 0.25, {192}, {190, 194}});
  index.files.push_back({"config.json", 12, 34});
  return index;
}

TEST(Index, RoundTrips) {
  ArchiveIndex index = sample_index();
  index.version = 0;
  EXPECT_EQ(parse_index(print_index(index), "test"), index);
  for (const TensorRecord& r : index.tensors) EXPECT_EQ(parse_record(print_record(r), "test"), r);
}

TEST(Index, PackedRoundTripsAndItsSizeDoesNotDependOnFigures) {
  ArchiveIndex index = sample_index();
  index.tensors[2].nmse = 1.23456e-30;
  index.tensors[1].dtype = DType::kF32;
  index.tensors[1].stored = DType::kF16;
  index.files[0].merges = MergesText{5, 2, "[\"", " ", "\",\n\"", "\"]", {{1, "a\"", "ü"}}};
  const Bytes packed = pack_index(index);
  EXPECT_EQ(unpack_index(packed, "test"), index);
  ArchiveIndex other = index;
  for (TensorRecord& r : other.tensors) {
    r.checksum ^= 0x123456789abcdefULL;
    r.decoded_hash = r.coded() ? ~r.decoded_hash : 0;
    if (r.coded()) r.nmse = 0.125;
  }
  other.files[0].checksum = 77, other.source_hash = 99;
  EXPECT_EQ(pack_index(other).size(), packed.size());
  EXPECT_EQ(unpack_index(pack_index(other), "test"), other);
  for (size_t cut = 0; cut < packed.size(); ++cut) {
    EXPECT_INPUT_ERROR(unpack_index(ByteSpan(packed).first(cut), "test"), "test");
  }
  Bytes longer = packed;
  longer.push_back(0);
  EXPECT_INPUT_ERROR(unpack_index(longer, "test"), "expected the end");
}

TEST(Index, RefusesWhatDoesNotFit) {
  ArchiveIndex sample = sample_index();
  sample.version = 0;
  const std::string good = print_index(sample);
  const std::pair<const char*, const char*> edits[] = {
      {"\"version\":0", "\"version\":1"},
      {"\"version\":0", "\"version\":-1"},
      {"\"recipe\":0", "\"recipe\":2"},
      {"\"recipe\":0", "\"recipe\":\"0\""},
      {"[3,4]", "[3,-4]"},
      {"[3,4]", "[3,18446744073709551615]"},
      {"[3,4]", "[4294967296,4294967296]"},
      {"\"BF16\"", "\"BF17\""},
      {"\"files\"", "\"tensors\""},
      {"\"BF16\"", "\"I64\""},
      {"0123456789abcdef", "0123456789abcdeg"},
      {"\"tensors\"", "\"tensor\""},
      {"{\"version\"", "[\"version\""},
      {"\"weighted_error\":0.25", "\"weighted_error\":null"},
      {"\"00c0ff\"", "\"00c0f\""},
      {"\"00c0ff\"", "\"00c0fg\""},
      {"\"00c0ff\"", "7"},
      {"\"00c0ff\"", "\"000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f00\""},
      {"\"eigenvalues\"", "\"eigenvalue\""},
  };
  for (const auto& [from, to] : edits) {
    std::string bad = good;
    ASSERT_NE(bad.find(from), std::string::npos) << from;
    bad.replace(bad.find(from), std::string(from).size(), to);
    EXPECT_THROW(parse_index(bad, "test"), Error) << from << " -> " << to;
  }
  for (size_t cut = 0; cut < good.size(); ++cut) EXPECT_THROW(parse_index(good.substr(0, cut), "test"), Error) << cut;
}

class ArchiveTest : public testing::Test {
 protected:
  // A small archive that contains everything: tensors coded by two recipes, a kept tensor and side files.
  std::filesystem::path make(const std::string& recipe = "signs(seed=1) > hadamard > uniform(bits=3) > rans") {
    Matrix<float> x(40, 50);
    Rng rng(1);
    for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.normal());
    CompressOptions options;
    options.recipe = recipe;
    options.force = true;
    options.sync = false;
    compress_matrix(x.view(), "w", folder_ / "m.occ", options);
    return folder_ / "m.occ";
  }
  TempFolder folder_;
};

TEST_F(ArchiveTest, PublicReaderDecodesWholeTensorsAndRows) {
  const Archive archive = Archive::open(make());
  ASSERT_EQ(archive.tensors().size(), 1u);
  EXPECT_EQ(archive.tensors()[0].matrix, (Shape{40, 50}));
  archive.verify();
  const Matrix<float> whole = archive.read("w");
  Matrix<float> rows(3, 50);
  archive.read_rows(0, 17, rows.view());
  EXPECT_TRUE(std::equal(rows.data(), rows.data() + rows.size(), whole.row(17)));
  EXPECT_THROW(archive.read("x"), Error);
  EXPECT_THROW(archive.read_rows(0, 38, rows.view()), Error);
}

TEST_F(ArchiveTest, AFlippedBitAnywhereIsFound) {
  const Bytes good = read_file(make());
  const std::filesystem::path bad_path = folder_ / "bad.occ";
  for (size_t i = 0; i < good.size(); ++i) {
    const unsigned bit = static_cast<unsigned>(random_word(5, i) % 8);
    Bytes bad = good;
    bad[i] = static_cast<uint8_t>(bad[i] ^ (1u << bit));
    std::ofstream(bad_path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bad.data()), static_cast<std::streamsize>(bad.size()));
    try {
      Archive::open(bad_path).verify();
      ADD_FAILURE() << "bit " << bit << " of byte " << i << " of " << good.size();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
    }
  }
}

TEST_F(ArchiveTest, TruncationAnywhereIsFound) {
  const Bytes good = read_file(make("uniform > bitpack"));
  const std::filesystem::path bad_path = folder_ / "bad.occ";
  for (size_t size = 0; size < good.size(); size += 7) {
    std::ofstream(bad_path, std::ios::binary)
        .write(reinterpret_cast<const char*>(good.data()), static_cast<std::streamsize>(size));
    EXPECT_THROW(Archive::open(bad_path), Error) << size;
  }
}

// Archives written by earlier builds. They contain the encoder's hash of the decoded values: they must decode to the
// same floats for ever, on every instruction set. Those named v1-* have format version 1, the others version 0.
TEST(Golden, ArchivesDecodeToTheSameFloatsOnEveryTarget) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "tests/golden")) {
    if (entry.path().extension() != ".occ") continue;
    ++count;
    for_each_simd_target([&] { EXPECT_NO_THROW(Archive::open(entry.path()).verify()) << entry.path(); });
  }
  EXPECT_GE(count, 8u);
}

// Computes the hash defined in docs/reference/format.md, section 3, in another way.
uint64_t hash_of_values(const Matrix<float>& x) {
  const size_t step = (65536 + x.cols() - 1) / x.cols();
  std::vector<uint64_t> hashes;
  for (size_t r = 0; r < x.rows(); r += step) {
    hashes.push_back(hash64(x.row(r), std::min(step, x.rows() - r) * x.cols() * sizeof(float)));
  }
  return hash64(hashes.data(), hashes.size() * sizeof(uint64_t));
}

Matrix<float> gaussian(size_t rows, size_t cols, uint64_t seed) {
  Matrix<float> x(rows, cols);
  Rng rng(seed);
  for (size_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.normal());
  return x;
}

// The hash must be there with the last row and not before, for rows in any order and in any pieces, some of them twice.
TEST(ValuesHash, DoesNotDependOnHowRowsCome) {
  const Matrix<float> x = gaussian(300, 700, 3);  // chunks of 94 rows
  const uint64_t expected = hash_of_values(x);
  for (const size_t step : {1, 7, 93, 94, 95, 188, 300}) {
    const size_t count = ceil_div(x.rows(), step);
    for (const size_t stride : {1, 7, 299}) {  // strides that are prime to most counts, so that all pieces are visited
      if (std::gcd(stride, count) != 1) continue;
      ValuesHash hash(x.shape(), 100);
      for (size_t k = 0; k < count; ++k) {
        const size_t row = k * stride % count * step;
        const auto rows = x.view().row_range(row, std::min(step, x.rows() - row));
        const std::optional<uint64_t> found = hash.add(row, rows);
        EXPECT_EQ(found.has_value(), k + 1 == count) << step << " " << stride;
        EXPECT_EQ(found.value_or(expected), expected) << step << " " << stride;
        EXPECT_EQ(hash.add(row, rows), found);
      }
    }
  }
}

TEST(ValuesHash, KeepsNoMorePartsThanAllowed) {
  const Matrix<float> x = gaussian(300, 700, 3);
  ValuesHash hash(x.shape(), 2);
  for (const size_t row : {0, 94, 188}) EXPECT_FALSE(hash.add(row, x.view().row_range(row, 1)));
  EXPECT_FALSE(hash.add(1, x.view().row_range(1, 187)));
  // Row 188 was ignored, because there was no room for another chunk.
  EXPECT_FALSE(hash.add(189, x.view().row_range(189, 111)));
  EXPECT_EQ(hash.add(188, x.view().row_range(188, 1)), hash_of_values(x));
}

// A file with the tensors "w" and "x" (kept), and an archive of it.
class KeptTest : public ArchiveTest {
 protected:
  void SetUp() override {
    SafetensorsWriter writer(folder_ / "m.safetensors", {{"w", DType::kF32, {40, 50}}, {"x", kKept, {70'000}}}, {},
                             false);
    const Matrix<float> w = gaussian(40, 50, 1);
    writer.write(w.data(), w.size() * sizeof(float));
    const Bytes x(70'000 * dtype_size(kKept), 7);
    writer.write(x.data(), x.size());
    writer.commit();
    CompressOptions options;
    options.sync = false;
    options.force = true;
    options.keep = {"x"};
    compress_file(folder_ / "m.safetensors", path_, options);
  }
  void damage(uint64_t byte_of_x) const {
    uint64_t at = 0;
    {
      const SafetensorsFile file(path_);
      at = file.data_offset(file.find("x")) + byte_of_x;
    }
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.write("!?", 2);
  }
  static constexpr DType kKept = DType::kBF16;
  const std::filesystem::path path_ = folder_ / "m.occ";
};

TEST_F(KeptTest, DamageIsFoundAtTheFirstReadAndAtEveryOther) {
  for (const uint64_t byte : {0, 70'000, 139'998}) {
    SetUp();
    damage(byte);
    const ArchiveFile file(path_);
    const size_t x = file.find("x");
    std::vector<float> values(3);
    for (int again = 0; again < 2; ++again) {  // also for elements that are not damaged
      EXPECT_INPUT_ERROR(file.read_f32(x, 10, 3, values.data()), "m.occ: tensor 'x'");
      EXPECT_INPUT_ERROR(file.read_raw(x, 10, 3, values.data()), "m.occ: tensor 'x'");
    }
    std::atomic<size_t> caught = 0;
    parallel_for(64, [&](size_t i) {
      float value = 0;
      try {
        file.read_f32(x, i, 1, &value);
      } catch (const Error&) {
        ++caught;
      }
    });
    EXPECT_EQ(caught, 64u);
    EXPECT_INPUT_ERROR(file.verify_tensor(x), "tensor 'x'");
    file.verify_tensor(file.find("w"));
  }
}

TEST_F(KeptTest, WholeOnesAreRead) {
  const ArchiveFile file(path_);
  const size_t x = file.find("x");
  std::vector<uint8_t> values(6);
  file.read_raw(x, 69'997, 3, values.data());
  EXPECT_EQ(values, std::vector<uint8_t>(6, 7));
  file.verify();
}

// An archive with correct checksums whose values are not those that the encoder saw: it has the blob of another matrix.
class AlteredTest : public ArchiveTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    CompressOptions options;
    options.recipe = GetParam();
    options.sync = false;
    compress_matrix(gaussian(kRows, kCols, 1).view(), "w", folder_ / "a.occ", options);
    compress_matrix(gaussian(kRows, kCols, 2).view(), "w", folder_ / "b.occ", options);
    const Bytes blob = ArchiveFile(folder_ / "b.occ").read_stored(0);
    ArchiveIndex index = ArchiveFile(folder_ / "a.occ").index();
    index.tensors[0].checksum = tensor_checksum(index.tensors[0], blob);
    index.version = 0;
    const std::string text = print_index(index);
    SafetensorsWriter writer(folder_ / "altered.occ", {{"w", DType::kU8, {blob.size()}}},
                             {{kIndexKey, text}, {kCheckKey, hash_hex(hash64(std::string_view(text)))}}, false);
    writer.write(blob.data(), blob.size());
    writer.commit();
  }
  // Reads all rows in pieces that begin at multiples of `step`.
  static void read(const std::filesystem::path& path, size_t step) {
    const ArchiveFile file(path);
    Matrix<float> rows(step, kCols);
    for (size_t row = 0; row < kRows; row += step) {
      file.read_f32(0, row * kCols, std::min(step, kRows - row) * kCols, rows.data());
    }
  }
  static constexpr size_t kRows = 3000, kCols = 300;  // chunks of 219 rows
};

TEST_P(AlteredTest, IsFoundWhenAllRowsAreDecoded) {
  for (const size_t step : {kRows, size_t{1024}, size_t{876}, size_t{100}}) {
    EXPECT_INPUT_ERROR(read(folder_ / "altered.occ", step), "altered.occ: tensor 'w': decodes to other values");
    read(folder_ / "a.occ", step);
  }
  const ArchiveFile file(folder_ / "altered.occ");
  float value = 0;
  file.read_f32(0, 5, 1, &value);  // a part of the tensor alone cannot be checked
  EXPECT_INPUT_ERROR(file.verify(), "decodes to other values");
  ArchiveFile(folder_ / "a.occ").verify();
}

TEST_P(AlteredTest, IsFoundWhenWeightsBecomeFloats) {
  const ArchiveFile bad(folder_ / "altered.occ"), good(folder_ / "a.occ");
  for (const bool transposed : {false, true}) {
    const OperatorOptions options{.arithmetic = Arithmetic::kF32, .transposed = transposed};
    EXPECT_INPUT_ERROR(make_operator(bad, 0, options), "altered.occ: tensor 'w': decodes to other values");
    EXPECT_NE(make_operator(good, 0, options), nullptr);
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, AlteredTest,
                         testing::Values("uniform > rans", "signs > hadamard(axis=out) > uniform > bitpack",
                                         "signs > hadamard > trellis(states=8) > rans"));

TEST_F(ArchiveTest, ACodedTensorThatBecameEmptyIsFound) {
  const ArchiveFile good(make("uniform > rans"));
  const Bytes blob = good.read_stored(0);
  for (const size_t d : {0, 1}) {
    ArchiveIndex index = good.index();
    TensorRecord& r = index.tensors[0];
    r.shape[d] = 0;
    r.checksum = tensor_checksum(r, blob);
    index.version = 0;
    const std::string text = print_index(index);
    SafetensorsWriter writer(folder_ / "empty.occ", {{r.name, DType::kU8, {blob.size()}}},
                             {{kIndexKey, text}, {kCheckKey, hash_hex(hash64(std::string_view(text)))}}, false);
    writer.write(blob.data(), blob.size());
    writer.commit();
    EXPECT_INPUT_ERROR(ArchiveFile(folder_ / "empty.occ"), "decodes to other values");
  }
}

TEST_F(ArchiveTest, APlainSafetensorsFileIsNoArchive) {
  SafetensorsWriter writer(folder_ / "plain.occ", {{"w", DType::kU8, {4}}}, {}, false);
  writer.write("abcd", 4);
  writer.commit();
  EXPECT_THROW(Archive::open(folder_ / "plain.occ"), Error);
}

TEST_F(ArchiveTest, WrongRecipesAndSidesAreInputErrorsEvenWithRightChecksums) {
  // A hostile file can have correct checksums, so every plane and recipe must be checked on its own.
  const ArchiveFile good(make("uniform > rans"));
  const Bytes blob = good.read_stored(0);
  for (const std::string recipe :
       {"uniform(bits=8) > rans", "lloyd > rans", "uniform > bitpack", "nosuch > rans", "(",
        "split(rows=50) > { head: uniform > rans ; tail: uniform > rans }", "uniform > rans + uniform > rans"}) {
    ArchiveIndex index = good.index();
    TensorRecord& r = index.tensors[0];
    r.recipe = recipe;
    r.checksum = tensor_checksum(r, blob);
    index.version = 0;
    const std::string text = print_index(index);
    SafetensorsWriter writer(folder_ / "bad.occ", {{"w", DType::kU8, {blob.size()}}},
                             {{kIndexKey, text}, {kCheckKey, hash_hex(hash64(std::string_view(text)))}}, false);
    writer.write(blob.data(), blob.size());
    writer.commit();
    try {
      Archive::open(folder_ / "bad.occ").verify();
      ADD_FAILURE() << recipe;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << recipe << ": " << e.what();
    }
  }
}

}  // namespace
}  // namespace occ
