#include "occ/compress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/file.h"
#include "base/normal_matrix_for_test.h"
#include "base/rng.h"
#include "compress/calibration_source.h"
#include "compress/encode.h"
#include "compress/part_store.h"
#include "compress/plan.h"
#include "container/archive_file.h"
#include "test_data.h"

namespace occ {
namespace {

using testing::HasSubstr;

// Writes a small model: two matrices, a norm, a bias, integers and an empty tensor.
std::filesystem::path write_mixed_model(const TempFolder& folder, size_t rows = 300, size_t cols = 256) {
  const std::filesystem::path path = folder / "model.safetensors";
  SafetensorsWriter writer(path,
                           {{"a.weight", DType::kF32, {rows, cols}},
                            {"b.weight", DType::kBF16, {rows / 2, cols}},
                            {"norm.weight", DType::kF32, {cols}},
                            {"a.bias", DType::kF32, {1, cols}},
                            {"ids", DType::kI64, {2, 3}},
                            {"empty", DType::kF32, {0, 5}}},
                           {}, false);
  const Matrix<float> a = normal_matrix(rows, cols), b = normal_matrix(rows / 2, cols, 2);
  writer.write(a.data(), a.size() * 4);
  std::vector<uint16_t> half(b.size());
  convert_from_f32(DType::kBF16, b.data(), half.data(), half.size());
  writer.write(half.data(), half.size() * 2);
  const std::vector<float> ones(2 * cols, 1.0f);
  writer.write(ones.data(), ones.size() * 4);
  const int64_t ids[6] = {1, 2, 3, 4, 5, 1LL << 40};
  writer.write(ids, sizeof(ids));
  writer.commit();
  return path;
}

CompressOptions quick_options() {
  CompressOptions o;
  o.sync = false;
  return o;
}

// The archive is complete before it is accepted, but it is renamed to the output only then.
TEST(CompressSource, GivesOnlyAcceptedArchivesTheirName) {
  const TempFolder folder;
  const std::unique_ptr<TensorFile> source = open_any(write_mixed_model(folder));
  const std::filesystem::path output = folder / "m.occ";
  for (const bool accepted : {false, true}) {
    compress_source(*source, output, quick_options(), nullptr, [&](const std::filesystem::path& archive) {
      EXPECT_FALSE(std::filesystem::exists(output));
      ArchiveFile(archive).verify();
      return accepted;
    });
    EXPECT_EQ(std::filesystem::exists(output), accepted);
    EXPECT_FALSE(std::filesystem::exists(folder / "m.occ.part"));
    const std::filesystem::directory_iterator files(folder.path());
    EXPECT_EQ(std::distance(begin(files), end(files)), accepted ? 2 : 1);
  }
}

TEST(CompressFile, KeepsRoutersOfExpertsButNoOtherGates) {
  const TempFolder folder;
  const auto note = [&](const char* name, size_t rows) {
    CompressOptions o = quick_options();
    o.method = "rtn";
    o.force = true;
    return compress_matrix(normal_matrix(rows, 256).view(), name, folder / "m.occ", o).tensors[0].note;
  };
  EXPECT_EQ(note("layers.0.mlp.gate.weight", 8), "router of experts");
  EXPECT_EQ(note("layers.0.block_sparse_moe.gate.weight", 8), "router of experts");
  EXPECT_EQ(note("blk.0.ffn_gate_inp.weight", 8), "router of experts");
  EXPECT_EQ(note("blocks.0.att.gate.weight", 64), "");
  EXPECT_EQ(note("layers.0.mlp.gate.weight", 256), "");
}

TEST(CompressFile, KeepsWhatShouldBeKeptAndVerifies) {
  const TempFolder folder;
  const auto input = write_mixed_model(folder);
  CompressOptions o = quick_options();
  o.method = "rtn";
  const CompressReport r = compress_file(input, folder / "m.occ", o);
  EXPECT_TRUE(r.verified);
  EXPECT_EQ(r.file_bytes, std::filesystem::file_size(folder / "m.occ"));
  std::map<std::string, TensorReport> by_name;
  for (const TensorReport& t : r.tensors) by_name[t.name] = t;
  EXPECT_EQ(by_name.at("a.weight").recipe, "uniform > bitpack");
  EXPECT_EQ(by_name.at("norm.weight").note, "vector");
  EXPECT_EQ(by_name.at("a.bias").note, "bias");
  EXPECT_EQ(by_name.at("ids").note, "integers");
  EXPECT_EQ(by_name.at("empty").note, "empty");
  EXPECT_NEAR(r.nmse, 0.0115, 0.002);
  const ArchiveFile archive(folder / "m.occ");
  int64_t id = 0;
  archive.read_raw(archive.find("ids"), 5, 1, &id);
  EXPECT_EQ(id, 1LL << 40);
  EXPECT_FALSE(std::filesystem::exists(folder / "m.occ.part"));
}

TEST(CompressFile, TheSameBytesAtAnyThreadCount) {
  const TempFolder folder;
  const auto input = write_mixed_model(folder, 1000, 331);
  for (const std::string recipe : {"signs > hadamard > uniform(group=32, zero=asymmetric) > rans",
                                   "lloyd(codebook=fitted, per=tensor) > rans", "pca(block=64) > uniform > bitpack",
                                   "lowrank > { left: uniform > rans ; right: uniform > rans } + trellis > rans"}) {
    Bytes first;
    for (const size_t threads : {1, 2, 4}) {
      CompressOptions o = quick_options();
      o.recipe = recipe;
      o.threads = threads;
      o.force = true;
      compress_file(input, folder / "m.occ", o);
      const Bytes bytes = read_file(folder / "m.occ");
      if (threads == 1) first = bytes;
      EXPECT_EQ(bytes, first) << recipe << " with " << threads << " threads";
    }
  }
}

// A sum of a term that decodes only as a whole and a term that decodes by tiles.
TEST(CompressFile, ASumWithALowRankTermIsReadByRows) {
  const TempFolder folder;
  const Matrix<float> x = normal_matrix(5000, 120);
  CompressOptions o = quick_options();
  o.recipe = "lowrank(rank=3) > { left: uniform > rans ; right: uniform > rans } + trellis > rans";
  EXPECT_TRUE(compress_matrix(x.view(), "w", folder / "m.occ", o).verified);
  const ArchiveFile archive(folder / "m.occ");
  EXPECT_EQ(archive.read_granularity(0), 1u);  // 1: the low-rank term is decoded once and then kept
  Matrix<float> whole(5000, 120), some(37, 120);
  archive.read_f32(0, 0, whole.size(), whole.data());
  for (const size_t row : {size_t{0}, size_t{2999}, size_t{4963}}) {
    archive.read_f32(0, row * 120, some.size(), some.data());
    EXPECT_TRUE(std::equal(some.data(), some.data() + some.size(), whole.row(row)));
  }
}

TEST(CompressFile, CeilingsAreMetFromBelow) {
  const TempFolder folder;
  struct Case {
    size_t rows, cols;
    const char* method;
  };
  for (const Case c :
       {Case{1500, 1024, "rtn"}, Case{100, 333, "rtn(zero=asymmetric, group=50)"}, Case{2000, 700, "lloyd"}}) {
    const Matrix<float> x = normal_matrix(c.rows, c.cols);
    for (const double ratio : {5.0, 7.3, 9.9, 14.0}) {
      CompressOptions o = quick_options();
      o.method = c.method;
      o.ratio = ratio;
      o.force = true;
      const CompressReport r = compress_matrix(x.view(), "w", folder / "m.occ", o);
      const double ceiling = static_cast<double>(x.size()) * 4 / ratio;
      EXPECT_LE(static_cast<double>(r.file_bytes), ceiling) << c.method << ratio;
      EXPECT_GE(static_cast<double>(r.file_bytes), ceiling * (ceiling > 1e6 ? 0.995 : 0.985)) << c.method << ratio;
    }
  }
}

TEST(CompressFile, SizeChargesEverythingInTheFile) {
  const TempFolder folder;
  const auto input = write_mixed_model(folder, 1200, 512);
  CompressOptions o = quick_options();
  o.size = 400'000;
  const CompressReport r = compress_file(input, folder / "m.occ", o);
  EXPECT_LE(std::filesystem::file_size(folder / "m.occ"), 400'000u);
  EXPECT_GE(r.file_bytes, 394'000u);
  o.size = 100;
  o.force = true;
  EXPECT_THROW(compress_file(input, folder / "m.occ", o), Error);
  EXPECT_EQ(std::filesystem::file_size(folder / "m.occ"), r.file_bytes) << "a failed run must leave the old file alone";
}

TEST(CompressFile, FixedWidthsStayWithinTheirOverhead) {
  const TempFolder folder;
  const Matrix<float> x = normal_matrix(1024, 1024);
  for (const char* method : {"rtn", "rtn(zero=asymmetric)", "lloyd"}) {
    CompressOptions o = quick_options();
    o.method = method;
    o.bits = 3;
    o.force = true;
    const CompressReport r = compress_matrix(x.view(), "w", folder / "m.occ", o);
    EXPECT_LE(r.bpw(), 3.03) << method;
    EXPECT_GT(r.bpw(), 3.0) << method;
  }
}

TEST(CompressFile, DryRunPredictsTheExactSize) {
  const TempFolder folder;
  const auto input = write_mixed_model(folder);
  CompressOptions o = quick_options();
  o.bits = 3;
  const CompressReport real = compress_file(input, folder / "m.occ", o);
  o.dry_run = true;
  const CompressReport dry = compress_file(input, folder / "other.occ", o);
  EXPECT_FALSE(std::filesystem::exists(folder / "other.occ"));
  EXPECT_NEAR(static_cast<double>(dry.file_bytes), static_cast<double>(real.file_bytes), 128);
}

TEST(CompressFile, NonFiniteValuesAreNamed) {
  const TempFolder folder;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    Matrix<float> x = normal_matrix(300, 500);
    x(123, 45) = bad;
    x(200, 1) = bad;
    try {
      compress_matrix(x.view(), "the.name", folder / "m.occ", quick_options());
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      EXPECT_THAT(e.what(), HasSubstr("the.name"));
      EXPECT_THAT(e.what(), HasSubstr("row 123, column 45"));
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "m.occ"));
    std::filesystem::remove_all(folder / "m.occ.part");
  }
}

TEST(CompressFile, ResumeGivesTheSameBytes) {
  const TempFolder folder;
  const auto input = write_mixed_model(folder);
  compress_file(input, folder / "whole.occ", quick_options());
  CompressOptions o = quick_options();
  struct Stop {};
  o.progress = [](const char* phase, uint64_t done, uint64_t) {
    if (phase == std::string("compress") && done > 300 * 256 * 4) throw Stop();  // stops within the second tensor
  };
  EXPECT_ANY_THROW(compress_file(input, folder / "m.occ", o));
  EXPECT_FALSE(std::filesystem::exists(folder / "m.occ"));
  EXPECT_TRUE(std::filesystem::exists(folder / "m.occ.part"));
  o.progress = nullptr;
  EXPECT_THROW(compress_file(input, folder / "m.occ", o), Error) << "neither --resume nor --force";
  o.resume = true;
  o.bits = 3;
  EXPECT_THROW(compress_file(input, folder / "m.occ", o), Error) << "another job";
  o.bits.reset();
  compress_file(input, folder / "m.occ", o);
  EXPECT_EQ(read_file(folder / "m.occ"), read_file(folder / "whole.occ"));
  EXPECT_FALSE(std::filesystem::exists(folder / "m.occ.part"));
}

TEST(CompressFile, TensorSpecsAndKeepGlobs) {
  const TempFolder folder;
  const auto input = write_mixed_model(folder);
  CompressOptions o = quick_options();
  o.tensors = {{"*.weight", "lloyd"}, {"b.*", "dct > uniform(bits=8) > rans"}, {"norm*", "keep"}};
  o.keep = {"a.*"};
  o.bits = 3;
  CompressReport r = compress_file(input, folder / "m.occ", o);
  std::map<std::string, TensorReport> by_name;
  for (const TensorReport& t : r.tensors) by_name[t.name] = t;
  EXPECT_EQ(by_name.at("a.weight").recipe, "lloyd(bits=3) > bitpack") << "--tensor wins over --keep";
  EXPECT_EQ(by_name.at("b.weight").recipe, "dct > uniform(bits=8) > rans");
  EXPECT_EQ(by_name.at("norm.weight").recipe, "");
  o.force = true;
  o.tensors = {{"nothing*", "keep"}};
  EXPECT_THROW(compress_file(input, folder / "m.occ", o), Error);
}

TEST(CompressFile, RefusesContradictions) {
  const TempFolder folder;
  const auto input = write_mixed_model(folder);
  std::vector<CompressOptions> bad(8, quick_options());
  bad[6].ratio = 1e12;
  bad[7].size = 0;
  bad[0].bits = 4, bad[0].ratio = 4;
  bad[1].recipe = "uniform > bitpack", bad[1].bits = 4;
  bad[2].bits = 2.5, bad[2].method = "rtn";
  bad[3].bits = 0;
  bad[4].method = "nosuch";
  bad[5].method = "rtn(group=-1)";
  for (const CompressOptions& o : bad) {
    try {
      compress_file(input, folder / "m.occ", o);
      ADD_FAILURE();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
      EXPECT_THAT(e.what(), testing::Not(testing::HasSubstr("--"))) << "options have no dashes in the library";
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "m.occ.part"));
}

TEST(Predict, BlobBytesAreExactForFixedLengthRecipes) {
  for (const char* text :
       {"uniform > bitpack", "uniform(bits=3, group=50) > bitpack", "lloyd(bits=2) > bitpack",
        "signs > hadamard > uniform(per=tensor) > bitpack", "rowscale > uniform(per=column) > bitpack",
        "split(rows=20) > { head: uniform(bits=3) > bitpack ; tail: uniform(bits=2) > bitpack }", "pq > bitpack",
        "signs > pq(bits=2.3, codebook=rtn) > bitpack", "opq(bits=3, clusters=2, rounds=1) > bitpack",
        "outliers(fraction=0.01) > qet(levels=1, bits=5) > bitpack + uniform(bits=2) > bitpack"}) {
    for (const Shape shape : {Shape{50, 331}, Shape{1000, 700}, Shape{33, 1}}) {
      const Recipe recipe = Recipe::parse(text);
      const Matrix<float> x = normal_matrix(shape.rows, shape.cols);
      EXPECT_EQ(predict_blob_bytes(recipe, shape), encode_matrix(recipe, MatrixSource(x.view()), {}, "x").blob.size())
          << text << " " << shape.rows << "x" << shape.cols;
    }
  }
  EXPECT_EQ(predict_blob_bytes(Recipe::parse("uniform > rans"), {10, 10}), 0u);
  const Recipe order = Recipe::parse("qet(levels=1, bits=5) > { codes: bitpack ; order: rans(tables=64) }");
  const uint64_t most = predict_blob_bytes(order, {1000, 70});
  const Matrix<float> x = normal_matrix(1000, 70);
  const size_t real = encode_matrix(order, MatrixSource(x.view()), {}, "x").blob.size();
  EXPECT_LE(real, most);
  // The order bits of independent data cannot be compressed.
  EXPECT_GE(static_cast<double>(real), 0.98 * static_cast<double>(most));
}

TEST(EncodeMatrix, DegenerateMatrices) {
  for (const Shape shape : {Shape{1, 1}, Shape{1, 5000}, Shape{5000, 1}, Shape{3, 331}}) {
    for (const float value : {0.0f, 1.0f, -3e38f, 1e-42f}) {
      Matrix<float> x(shape.rows, shape.cols);
      std::fill_n(x.data(), x.size(), value);
      for (const char* text : {"uniform > bitpack", "uniform(zero=asymmetric) > rans", "lloyd > rans"}) {
        const EncodedMatrix m = encode_matrix(Recipe::parse(text), MatrixSource(x.view()), {}, "x");
        EXPECT_TRUE(std::isfinite(m.distortion.nmse())) << text << " " << value;
        if (value == 1e-42f) continue;  // too small for scales; the job keeps such tensors as they are
        EXPECT_LE(m.distortion.nmse(), value == 0 ? 0 : 0.01) << text << " " << value;
      }
    }
  }
}

TEST(CompressFile, KeepsWhatCodingWouldNotHelp) {
  const TempFolder folder;
  Matrix<float> x(2, 3);
  x(1, 1) = 1;
  CompressReport r = compress_matrix(x.view(), "tiny", folder / "tiny.occ", quick_options());
  EXPECT_EQ(r.tensors[0].recipe, "");
  EXPECT_THAT(r.tensors[0].note, HasSubstr("not be smaller"));
  Matrix<float> y(100, 100);
  std::fill_n(y.data(), y.size(), 1e-42f);
  CompressOptions o = quick_options();
  o.method = "rtn";
  r = compress_matrix(y.view(), "small", folder / "small.occ", o);
  EXPECT_EQ(r.tensors[0].recipe, "");
  EXPECT_THAT(r.tensors[0].note, HasSubstr("as large as the values"));
  ASSERT_EQ(r.notes.size(), 2u);
  Matrix<float> huge = normal_matrix(64, 64);
  for (size_t i = 0; i < huge.size(); ++i) huge.data()[i] = std::copysign(3e38f, huge.data()[i]);
  CompressOptions rotated = quick_options();
  rotated.recipe = "hadamard > uniform > rans";  // the rotation overflows, so the tensor is kept
  r = compress_matrix(huge.view(), "huge", folder / "huge.occ", rotated);
  EXPECT_EQ(r.tensors[0].recipe, "");
  EXPECT_EQ(ArchiveFile(folder / "small.occ").record(0).coded(), false);
}

TEST(PartStore, ATornPartIsNoPart) {
  const TempFolder folder;
  const auto output = folder / "m.occ";
  PartStore store(output, "job", false, false);
  EXPECT_THROW(PartStore(output, "job", true, false), Error) << "two runs at a time";
  Part part;
  part.record = {"w", {1, 64}, DType::kF32, "uniform > bitpack", 0, 2, 0.5};
  part.notes = {"a note"};
  const Bytes blob(64, 7);
  part.record.checksum = tensor_checksum(part.record, blob);
  store.save(3, part, blob);
  ASSERT_TRUE(store.find(3).has_value());
  EXPECT_EQ(store.find(3)->record, part.record);
  EXPECT_EQ(store.find(3)->notes, part.notes);
  EXPECT_EQ(store.read_blob(3), blob);
  EXPECT_FALSE(store.find(2).has_value());
  const auto file = folder / "m.occ.part/000003.part";
  Bytes bytes = read_file(file);
  bytes.back() ^= 1;
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  EXPECT_FALSE(store.find(3).has_value());
}

}  // namespace
}  // namespace occ
