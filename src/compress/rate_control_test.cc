// Tests rate control over several tensors, and the choices of `auto`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <set>

#include "base/file.h"
#include "base/normal_matrix_for_test.h"
#include "base/rng.h"
#include "compress/calibration_source.h"
#include "compress/coordinates.h"
#include "compress/estimate.h"
#include "container/archive_file.h"
#include "io/safetensors.h"
#include "metrics/limits.h"
#include "occ/compress.h"
#include "test_data.h"

namespace occ {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Writes three matrices of different sizes and scales, and a norm.
std::filesystem::path write_matrices(const TempFolder& folder) {
  const std::filesystem::path path = folder / "model.safetensors";
  SafetensorsWriter writer(path,
                           {{"a.weight", DType::kF32, {600, 320}},
                            {"b.weight", DType::kF32, {1200, 256}},
                            {"c.weight", DType::kF32, {64, 128}},
                            {"norm.weight", DType::kF32, {320}}},
                           {}, false);
  const Matrix<float> a = normal_matrix(600, 320, 1), b = normal_matrix(1200, 256, 2, 0.01),
                      c = normal_matrix(64, 128, 3, 5);
  for (const Matrix<float>* m : {&a, &b, &c}) writer.write(m->data(), m->size() * 4);
  const std::vector<float> ones(320, 1.0f);
  writer.write(ones.data(), ones.size() * 4);
  writer.commit();
  return path;
}

CompressOptions forced_options() {
  CompressOptions o;
  o.sync = false;
  o.force = true;
  return o;
}

std::map<std::string, TensorReport> by_name(const CompressReport& r) {
  std::map<std::string, TensorReport> out;
  for (const TensorReport& t : r.tensors) out[t.name] = t;
  return out;
}

TEST(RateControl, CeilingsAreMetFromBelow) {
  const TempFolder folder;
  const auto input = write_matrices(folder);
  for (const double bits : {1.0, 2.0, 3.3, 6.0}) {
    CompressOptions o = forced_options();
    o.bits = bits;
    const CompressReport r = compress_file(input, folder / "m.occ", o);
    EXPECT_EQ(r.file_bytes, std::filesystem::file_size(folder / "m.occ"));
    EXPECT_LE(r.bpw(), bits);
    EXPECT_GE(r.bpw(), 0.985 * bits);
  }
  for (const uint64_t size : {60'000u, 200'000u}) {
    CompressOptions o = forced_options();
    o.size = size;
    const CompressReport r = compress_file(input, folder / "m.occ", o);
    EXPECT_LE(r.file_bytes, size);
    EXPECT_GE(static_cast<double>(r.file_bytes), 0.985 * static_cast<double>(size));
  }
}

TEST(RateControl, AllTensorsLoseTheSameShare) {
  const TempFolder folder;
  CompressOptions o = forced_options();
  o.bits = 3;
  const auto tensors = by_name(compress_file(write_matrices(folder), folder / "m.occ", o));
  for (const char* name : {"b.weight", "c.weight"}) {
    EXPECT_NEAR(tensors.at(name).nmse / tensors.at("a.weight").nmse, 1, 0.1) << name;
  }
}

TEST(RateControl, SensitivitiesMoveTheBits) {
  const TempFolder folder;
  std::ofstream(folder / "s.json") << R"({"a.weight": 16})";
  CompressOptions o = forced_options();
  o.bits = 3;
  o.sensitivity = folder / "s.json";
  const CompressReport r = compress_file(write_matrices(folder), folder / "m.occ", o);
  const auto tensors = by_name(r);
  EXPECT_NEAR(tensors.at("b.weight").nmse / tensors.at("a.weight").nmse, 16, 2);
  EXPECT_NEAR(tensors.at("a.weight").bpw() - tensors.at("b.weight").bpw(), 2, 0.1);  // 1/2 log2 16 = 2 bits
  EXPECT_LE(r.bpw(), 3);
  EXPECT_GE(r.bpw(), 0.985 * 3);
  EXPECT_THAT(r.notes, testing::Contains(HasSubstr("2 of 3 coded tensors have no sensitivity")));
}

TEST(RateControl, NmseIsTheDual) {
  const TempFolder folder;
  for (const double nmse : {0.3, 0.02, 0.001}) {
    CompressOptions o = forced_options();
    o.nmse = nmse;
    const CompressReport r = compress_file(write_matrices(folder), folder / "m.occ", o);
    EXPECT_LE(r.nmse, nmse);
    EXPECT_GE(r.nmse, 0.97 * nmse);
  }
}

TEST(RateControl, FixedWidthsBesideContinuousRates) {
  const TempFolder folder;
  CompressOptions o = forced_options();
  o.bits = 3;
  o.tensors = {{"b.*", "rtn"}};
  CompressReport r = compress_file(write_matrices(folder), folder / "m.occ", o);
  EXPECT_EQ(by_name(r).at("b.weight").recipe, "uniform(bits=3) > bitpack");
  o.bits.reset();
  o.ratio = 10;
  r = compress_file(write_matrices(folder), folder / "m.occ", o);
  EXPECT_THAT(by_name(r).at("b.weight").recipe, StartsWith("uniform(bits=3)"));
  EXPECT_LE(r.file_bytes, r.input_bytes / 10);
  EXPECT_GE(static_cast<double>(r.file_bytes),
            0.985 * 0.1 * static_cast<double>((600 * 320 + 1200 * 256 + 64 * 128 + 320) * 4));
}

TEST(RateControl, OneHugeValueIsNoReasonToMiss) {
  const TempFolder folder;
  Matrix<float> x = normal_matrix(2000, 384, 8);
  x(3, 4) = 1000;  // has more energy than all other values; no sample of the rows contains it
  for (const uint64_t size : {100'000u, 150'000u, 300'000u}) {
    CompressOptions o = forced_options();
    o.size = size;
    const CompressReport r = compress_matrix(x.view(), "x", folder / "x.occ", o);
    EXPECT_LE(r.file_bytes, size);
    EXPECT_GE(static_cast<double>(r.file_bytes), 0.985 * static_cast<double>(size));
  }
}

TEST(RateControl, LowRatesDropTensorsInsteadOfKeepingThem) {
  const TempFolder folder;
  CompressOptions o = forced_options();
  o.bits = 0.2;
  const CompressReport r = compress_file(write_matrices(folder), folder / "m.occ", o);
  EXPECT_LE(r.bpw(), 0.2);
  EXPECT_LT(r.nmse, 1);
  o.bits.reset();
  o.nmse = 0.95;
  EXPECT_LE(compress_file(write_matrices(folder), folder / "m.occ", o).nmse, 0.95);
}

TEST(RateControl, SameBytesAtAnyThreadCount) {
  const TempFolder folder;
  const auto input = write_matrices(folder);
  CompressOptions o = forced_options();
  o.bits = 2.5;
  compress_file(input, folder / "two.occ", o);
  o.threads = 1;
  compress_file(input, folder / "one.occ", o);
  EXPECT_EQ(read_file(folder / "one.occ"), read_file(folder / "two.occ"));
}

// Twelve matrices whose inputs change when they are reached: then nearly all energy is in a few directions.
class ShiftingInputs final : public CalibrationSource {
 public:
  static constexpr size_t kTensors = 12, kRows = 400, kCols = 96;
  static std::string name(size_t i) { return fmt::format("layer{:02}.weight", i); }
  std::string describe() const override { return "test"; }
  std::vector<std::string> order() const override {
    std::vector<std::string> out;
    for (size_t i = 0; i < kTensors; ++i) out.push_back(name(i));
    return out;
  }
  void reach(const std::string& tensor, const TensorFile& /*coded*/) override { reached_.insert(tensor); }
  std::shared_ptr<const TensorCalibration> find(const std::string& tensor) const override {
    auto out = std::make_shared<TensorCalibration>();
    auto moments = std::make_shared<Moments>();
    moments->h = Matrix<double>(kCols, kCols);
    std::vector<double> values(kCols);
    for (size_t c = 0; c < kCols; ++c) {
      const double octaves = reached_.contains(tensor) ? 0.06 : 0.02;
      values[c] = moments->h(c, c) = std::exp2(-octaves * static_cast<double>(c));
    }
    moments->profile = eigenvalue_profile(values);
    out->moments = moments;
    out->rows = out->fed_rows = std::make_shared<RowImportance>(RowImportance{std::vector<double>(kRows, 1.0), 1, {}});
    return out;
  }
  TunedValues tune(const TensorFile&, const std::set<std::string>&, const std::set<std::string>&,
                   std::vector<std::string>*) override {
    return {};
  }

 private:
  std::set<std::string> reached_;
};

TEST(RateControl, FollowsWhatChangesWhileItIsCoded) {
  const TempFolder folder;
  std::vector<OutTensor> tensors;
  for (size_t i = 0; i < ShiftingInputs::kTensors; ++i) {
    tensors.push_back({ShiftingInputs::name(i), DType::kF32, {ShiftingInputs::kRows, ShiftingInputs::kCols}});
  }
  SafetensorsWriter writer(folder / "model.safetensors", tensors, {}, false);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Matrix<float> w = normal_matrix(ShiftingInputs::kRows, ShiftingInputs::kCols, i + 1);
    writer.write(w.data(), w.size() * 4);
  }
  writer.commit();
  const auto source = open_any(folder / "model.safetensors");
  for (const double bits : {1.5, 3.0}) {
    CompressOptions o = forced_options();
    o.bits = bits;
    o.dry_run = true;
    ShiftingInputs planned, inputs;
    const CompressReport plan = compress_source(*source, folder / "m.occ", o, &planned);
    o.dry_run = false;
    const CompressReport r = compress_source(*source, folder / "m.occ", o, &inputs);
    EXPECT_LE(r.bpw(), bits);
    EXPECT_GE(r.bpw(), 0.985 * bits);
    // The tensors coded last make up for the change. The first one stays, because the later ones were fitted to it.
    EXPECT_EQ(r.tensors.front().recipe, plan.tensors.front().recipe);
    EXPECT_NE(r.tensors.back().recipe, plan.tensors.back().recipe);
  }
}

TEST(Estimate, AgreesWithCodingTheWhole) {
  const Matrix<float> x = normal_matrix(4000, 256, 5);
  const Recipe recipe = Recipe::parse("rowscale > trellis(step=0.5) > rans");
  const Estimate whole = estimate_blob(recipe, x.view(), 4000, {}, "x");
  const Matrix<float> sample = sample_rows(MatrixSource(x.view()), 1 << 17);
  EXPECT_EQ(sample.rows(), 512u);
  const Estimate part = estimate_blob(recipe, sample.view(), 4000, {}, "x");
  EXPECT_NEAR(part.bytes / whole.bytes, 1, 0.01);
  EXPECT_NEAR(part.nmse / whole.nmse, 1, 0.02);
  EXPECT_EQ(sample_rows(MatrixSource(x.view()), 3000 * 256).rows(), 4000u) << "a sample of most rows is all of them";
}

Coordinates choice_for(const Matrix<float>& x) {
  const MatrixSource source(x.view());
  const Matrix<float> sample = sample_rows(source, size_t{1} << 18);
  return choose_coordinates(Method::parse("auto"), source, sample.view(), 0.4, {}, "x");
}

TEST(Coordinates, IdentityForWhatIsAlreadyWhite) {
  EXPECT_EQ(choice_for(normal_matrix(1000, 256, 1)).transforms, "");
  Matrix<float> heavy(1000, 256);  // Laplace-distributed: a rotation would make it Gaussian, which takes more bits
  Rng rng(2);
  for (size_t i = 0; i < heavy.size(); ++i) {
    heavy.data()[i] = static_cast<float>((rng.next() & 1 ? 1 : -1) * std::log(1 - rng.uniform()));
  }
  const Coordinates c = choice_for(heavy);
  EXPECT_EQ(c.transforms, "");
  EXPECT_THAT(c.why, HasSubstr("hadamard +0.0"));
}

TEST(Coordinates, TransformsThatGatherTheEnergy) {
  // Rows are correlated along the columns, so the DCT concentrates their energy.
  Matrix<float> smooth = normal_matrix(1000, 256, 3);
  for (size_t r = 0; r < smooth.rows(); ++r) {
    for (size_t c = 1; c < smooth.cols(); ++c) smooth(r, c) = 0.95f * smooth(r, c - 1) + 0.3f * smooth(r, c);
  }
  EXPECT_EQ(choice_for(smooth).transforms, "dct");
  // Directions of falling energy that no fixed transform can find.
  const Matrix<float> mix = normal_matrix(48, 48, 4);
  Matrix<float> hidden(4000, 48);
  const Matrix<float> white = normal_matrix(4000, 48, 5);
  for (size_t r = 0; r < hidden.rows(); ++r) {
    for (size_t k = 0; k < 48; ++k) {
      const double scale = std::exp(-0.1 * static_cast<double>(k));
      for (size_t c = 0; c < 48; ++c)
        hidden(r, c) += static_cast<float>(scale * double{white(r, k)} * double{mix(k, c)});
    }
  }
  EXPECT_EQ(choice_for(hidden).transforms, "pca");
}

TEST(Coordinates, LeadingComponentsAreCodedApart) {
  Matrix<float> x = normal_matrix(1500, 700, 6);
  const Matrix<float> left = normal_matrix(1500, 3, 7), right = normal_matrix(3, 700, 8);
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t c = 0; c < x.cols(); ++c) {
      for (size_t k = 0; k < 3; ++k) x(r, c) += left(r, k) * right(k, c);
    }
  }
  const Coordinates c = choice_for(x);
  EXPECT_THAT(c.first_term, StartsWith("lowrank(rank=3)"));
  EXPECT_NEAR(c.step_factor, 2, 0.1);  // the low-rank term leaves a quarter of the energy
  // At the same size the error is smaller, by about the predicted amount.
  const TempFolder folder;
  CompressOptions o = forced_options();
  o.bits = 2;
  const double with = compress_matrix(x.view(), "x", folder / "x.occ", o).nmse;
  o.method = "trellis";
  const double without = compress_matrix(x.view(), "x", folder / "x.occ", o).nmse;
  EXPECT_LT(with, 0.4 * without);
  EXPECT_EQ(choice_for(normal_matrix(1500, 700, 9)).first_term, "");
}

TEST(Forms, QetIsNeverWorseThanPq) {
  Matrix<float> smooth = normal_matrix(800, 64, 3), outliers = normal_matrix(800, 64, 4);
  for (size_t r = 0; r < smooth.rows(); ++r) {
    for (size_t c = 1; c < smooth.cols(); ++c) smooth(r, c) = 0.95f * smooth(r, c - 1) + 0.3f * smooth(r, c);
  }
  for (size_t i = 0; i < outliers.size(); i += 9973) outliers.data()[i] = 300;
  const TempFolder folder;
  const auto code = [&](const Matrix<float>& x, const char* method, double ratio) {
    CompressOptions o = forced_options();
    o.method = method;
    o.ratio = ratio;
    return compress_matrix(x.view(), "x", folder / "x.occ", o);
  };
  std::set<std::string> recipes;
  for (const Matrix<float>* x : {&smooth, &outliers}) {
    for (const double ratio : {4.5, 8.0, 16.0}) {
      const CompressReport pq = code(*x, "pq", ratio), qet = code(*x, "qet", ratio);
      EXPECT_LE(static_cast<double>(qet.file_bytes), 800 * 64 * 4 / ratio + 200);
      EXPECT_THAT(qet.tensors[0].choice, HasSubstr("(error against pq: qet(levels=1"));
      recipes.insert(qet.tensors[0].recipe);
      EXPECT_LT(qet.nmse, (ratio == 8 ? 0.9 : 1.000001) * pq.nmse) << ratio << " " << qet.tensors[0].recipe;
    }
  }
  EXPECT_GE(recipes.size(), 2u) << "one form for all data and rates is no choice";
  const CompressReport given = code(smooth, "qet(levels=2)", 8);  // which is the default
  EXPECT_THAT(given.tensors[0].recipe, HasSubstr("qet("));
  EXPECT_EQ(given.tensors[0].choice, "") << "parameters that are given leave no choice";
}

}  // namespace
}  // namespace occ
