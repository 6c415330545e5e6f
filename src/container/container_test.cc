#include <gtest/gtest.h>

#include <fstream>

#include "base/hash.h"
#include "base/rng.h"
#include "container/archive_file.h"
#include "container/blob.h"
#include "container/index.h"
#include "occ/archive.h"
#include "occ/compress.h"
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
        // Cutting padding alone leaves a readable blob: checksums cover that.
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
  const ArchiveIndex index = sample_index();
  EXPECT_EQ(parse_index(print_index(index), "test"), index);
  for (const TensorRecord& r : index.tensors) EXPECT_EQ(parse_record(print_record(r), "test"), r);
}

TEST(Index, RefusesWhatDoesNotFit) {
  const std::string good = print_index(sample_index());
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
  // Small, but with everything in it: coded (two recipes), kept, files.
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

// Archives written by earlier builds. The encoder's hash of the decoded values is in them: they must decode to the same
// floats for ever (from format version 1 on) and on every instruction set.
TEST(Golden, ArchivesDecodeToTheSameFloatsOnEveryTarget) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "tests/golden")) {
    if (entry.path().extension() != ".occ") continue;
    ++count;
    for_each_simd_target([&] { EXPECT_NO_THROW(Archive::open(entry.path()).verify()) << entry.path(); });
  }
  EXPECT_GE(count, 8u);
}

TEST_F(ArchiveTest, APlainSafetensorsFileIsNoArchive) {
  SafetensorsWriter writer(folder_ / "plain.occ", {{"w", DType::kU8, {4}}}, {}, false);
  writer.write("abcd", 4);
  writer.commit();
  EXPECT_THROW(Archive::open(folder_ / "plain.occ"), Error);
}

TEST_F(ArchiveTest, WrongRecipesAndSidesAreInputErrorsEvenWithRightChecksums) {
  // A hostile file can carry right checksums: every plane and recipe must be checked on its own.
  const ArchiveFile good(make("uniform > rans"));
  const Bytes blob = good.read_stored(0);
  for (const std::string recipe :
       {"uniform(bits=8) > rans", "lloyd > rans", "uniform > bitpack", "nosuch > rans", "(",
        "split(rows=50) > { head: uniform > rans ; tail: uniform > rans }", "uniform > rans + uniform > rans"}) {
    ArchiveIndex index = good.index();
    TensorRecord& r = index.tensors[0];
    r.recipe = recipe;
    r.checksum = tensor_checksum(r, blob);
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
