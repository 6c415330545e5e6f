#include "compress/moments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "base/rng.h"
#include "compress/encode.h"
#include "container/archive_file.h"
#include "metrics/limits.h"
#include "occ/compress.h"
#include "test_data.h"

namespace occ {
namespace {

using testing::HasSubstr;

// Returns input vectors with correlated neighbours and falling variances.
Matrix<float> inputs(size_t rows, size_t cols, uint64_t seed = 3) {
  Matrix<float> x(rows, cols);
  Rng rng(seed);
  for (size_t r = 0; r < rows; ++r) {
    double last = 0;
    for (size_t c = 0; c < cols; ++c) {
      last = 0.9 * last + rng.normal();
      x(r, c) = static_cast<float>(last * std::exp(-2.0 * static_cast<double>(c) / static_cast<double>(cols)));
    }
  }
  return x;
}
Matrix<float> weights(size_t rows, size_t cols) {
  Matrix<float> w(rows, cols);
  Rng rng(9);
  for (size_t i = 0; i < w.size(); ++i) w.data()[i] = static_cast<float>(rng.normal());
  return w;
}
Matrix<double> moments_oracle(const Matrix<float>& x) {
  Matrix<double> h(x.cols(), x.cols());
  for (size_t i = 0; i < x.cols(); ++i) {
    for (size_t j = 0; j < x.cols(); ++j) {
      for (size_t r = 0; r < x.rows(); ++r) h(i, j) += double{x(r, i)} * double{x(r, j)} / double(x.rows());
    }
  }
  return h;
}
double weighted(const Matrix<float>& x, const Matrix<float>& y, const Matrix<double>& h) {
  double sum = 0;
  for (size_t r = 0; r < x.rows(); ++r) {
    for (size_t i = 0; i < h.rows(); ++i) {
      for (size_t j = 0; j < h.rows(); ++j) {
        sum += (double{x(r, i)} - double{y(r, i)}) * h(i, j) * (double{x(r, j)} - double{y(r, j)});
      }
    }
  }
  return sum;
}

template <typename T>
std::filesystem::path write(const TempFolder& folder, const std::string& file,
                            const std::vector<std::pair<std::string, const Matrix<T>*>>& tensors) {
  const std::filesystem::path path = folder / file;
  std::vector<OutTensor> infos;
  for (const auto& [name, m] : tensors) {
    infos.push_back({name, sizeof(T) == 8 ? DType::kF64 : DType::kF32, {m->rows(), m->cols()}});
  }
  SafetensorsWriter writer(path, infos, {}, false);
  for (const auto& [name, m] : tensors) writer.write(m->data(), m->size() * sizeof(T));
  writer.commit();
  return path;
}

CompressOptions options_with(const std::filesystem::path& activations, const std::filesystem::path& hessian = {}) {
  CompressOptions o;
  o.sync = false;
  o.activations = activations.string();
  o.hessian = hessian.string();
  return o;
}

std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    return e.what();
  }
  return "no error";
}

TEST(Moments, AreThoseOfTheDefinitionAtAnyThreadCount) {
  const TempFolder folder;
  for (const Shape shape : {Shape{1, 1}, Shape{3, 40}, Shape{2500, 33}, Shape{40, 1100}}) {
    const Matrix<float> x = inputs(shape.rows, shape.cols);
    const auto file = open_any(write<float>(folder, "x.safetensors", {{"x", &x}}));
    const Matrix<double> h = second_moments(*file), expected = moments_oracle(x);
    for (size_t i = 0; i < h.size(); ++i) ASSERT_NEAR(h.data()[i], expected.data()[i], 1e-12 * (1 + expected(0, 0)));
    const ThreadLimit one(1);
    const Matrix<double> again = second_moments(*file);
    EXPECT_TRUE(std::equal(h.data(), h.data() + h.size(), again.data()));
  }
}

TEST(Moments, DampingFollowsTheRate) {
  // With equal eigenvalues it is the Gaussian limit. With unequal ones the error at the same rate is smaller.
  const std::vector<double> white(64, 3.0);
  EXPECT_NEAR(damping_at(2, eigenvalue_profile(white)), 1.0 / 16, 1e-4);
  EXPECT_NEAR(damping_at(3, eigenvalue_profile(white)), 1.0 / 64, 1e-4);
  std::vector<double> skewed = white;
  for (size_t i = 0; i < 32; ++i) skewed[i] *= 1e-3;
  EXPECT_LT(damping_at(2, eigenvalue_profile(skewed)), 1.0 / 100);
  EXPECT_DOUBLE_EQ(damping_at(16, eigenvalue_profile(white)), 1e-6);
}

TEST(CompressWithMoments, LowersTheErrorOfTheOutputsAndTellsIt) {
  const TempFolder folder;
  const Matrix<float> w = weights(130, 96), other = weights(40, 33), x = inputs(700, 96);
  const auto model = write<float>(folder, "m.safetensors", {{"a", &w}, {"b", &other}});
  const auto file = write<float>(folder, "x.safetensors", {{"x", &x}});
  const Matrix<double> h = moments_oracle(x);
  double trace = 0, energy = 0;
  for (size_t i = 0; i < h.rows(); ++i) trace += h(i, i);
  for (size_t i = 0; i < w.size(); ++i) energy += double{w.data()[i]} * double{w.data()[i]};

  double errors[2];
  for (const bool with : {false, true}) {
    CompressOptions o = options_with(with ? file : "");
    o.method = "rtn";
    o.bits = 3;
    const CompressReport r = compress_file(model, folder / "m.occ", o);
    const ArchiveFile archive(folder / "m.occ");
    Matrix<float> y(130, 96);
    archive.read_f32(0, 0, y.size(), y.data());
    errors[with] = weighted(w, y, h);
    EXPECT_EQ(archive.record(0).weighted_error.has_value(), with);
    EXPECT_EQ(r.tensors[0].weighted_error, archive.record(0).weighted_error);
    EXPECT_FALSE(archive.record(1).weighted_error);
    EXPECT_EQ(archive.record(1).eigenvalues.size(), 0u);
    if (with) {
      const double expected = errors[1] / (energy * trace / 96);
      EXPECT_NEAR(*archive.record(0).weighted_error, expected, 1e-4 * expected);
      EXPECT_EQ(archive.record(0).eigenvalues.size(), kProfileSize);
      EXPECT_THAT(r.notes, testing::Contains(HasSubstr("1 of 2 coded tensors have no second moments")));
    }
    std::filesystem::remove(folder / "m.occ");
  }
  EXPECT_LT(errors[1], 0.7 * errors[0]);
  EXPECT_GT(errors[1], 0.1 * errors[0]);

  // A matrix per tensor and a matrix in memory give the same result.
  const auto hessian = write<double>(folder, "h.safetensors", {{"a", &h}, {"nobody", &h}});
  CompressOptions o = options_with("", hessian);
  o.method = "rtn";
  o.bits = 3;
  const CompressReport r = compress_file(model, folder / "h.occ", o);
  EXPECT_THAT(r.notes, testing::Contains(HasSubstr("belong to no coded tensor: nobody")));
  EXPECT_NEAR(*r.tensors[0].weighted_error, errors[1] / (energy * trace / 96), 1e-3 * *r.tensors[0].weighted_error);
  o.hessian.clear();
  const CompressReport m = compress_matrix(w.view(), "a", folder / "a.occ", o, h.view());
  EXPECT_NEAR(*m.tensors[0].weighted_error, *r.tensors[0].weighted_error, 1e-3 * *r.tensors[0].weighted_error);
}

// Without feedback, the weighted error is computed from the errors. If H is the identity, it is the nmse.
TEST(CompressWithMoments, WeightedErrorWithoutFeedback) {
  const Matrix<float> w = weights(130, 64);
  Matrix<double> h(64, 64);
  for (size_t i = 0; i < 64; ++i) h(i, i) = 3;
  FitContext ctx;
  ctx.hessian = h.view();
  for (const char* recipe : {"uniform(bits=3) > bitpack", "hadamard(axis=out) > uniform(bits=3) > bitpack"}) {
    const EncodedMatrix m = encode_matrix(Recipe::parse(recipe), MatrixSource(w.view()), ctx, "w");
    ASSERT_TRUE(m.weighted_error);
    EXPECT_NEAR(*m.weighted_error, m.distortion.nmse(), 1e-5 * m.distortion.nmse());
  }
}

TEST(CompressWithMoments, SameBytesAtAnyThreadCount) {
  const TempFolder folder;
  const Matrix<float> w = weights(1500, 64), x = inputs(100, 64);
  const auto model = write<float>(folder, "m.safetensors", {{"a", &w}});
  CompressOptions o = options_with(write<float>(folder, "x.safetensors", {{"x", &x}}));
  compress_file(model, folder / "two.occ", o);
  o.threads = 1;
  compress_file(model, folder / "one.occ", o);
  EXPECT_EQ(read_file(folder / "one.occ"), read_file(folder / "two.occ"));
}

TEST(CompressWithMoments, FewRowsAndIdleInputsAreFine) {
  const TempFolder folder;
  const Matrix<float> w = weights(100, 80);
  Matrix<float> x = inputs(5, 80);
  for (size_t r = 0; r < 5; ++r) x(r, 17) = x(r, 79) = 0;
  const auto model = write<float>(folder, "m.safetensors", {{"a", &w}});
  CompressOptions o = options_with(write<float>(folder, "x.safetensors", {{"x", &x}}));
  const CompressReport r = compress_file(model, folder / "m.occ", o);
  EXPECT_EQ(r.notes.size(), 0u);
  ASSERT_TRUE(r.tensors[0].weighted_error);
  // At 4 bits it is .0115 without feedback. The inputs have only five directions, so feedback gains much.
  EXPECT_LT(*r.tensors[0].weighted_error, 0.002);
  x = Matrix<float>(5, 80);
  o.force = true;
  o.activations = write<float>(folder, "zero.safetensors", {{"x", &x}}).string();
  EXPECT_THAT(compress_file(model, folder / "m.occ", o).notes, testing::Contains(HasSubstr("without error feedback")));
}

TEST(CompressWithMoments, RefusesWhatIsWrongAndSaysWhere) {
  const TempFolder folder;
  const Matrix<float> w = weights(100, 40), x = inputs(50, 40), wide = inputs(50, 41);
  const auto model = write<float>(folder, "m.safetensors", {{"a", &w}});
  const auto run = [&](const CompressOptions& o) {
    return error_of([&] { compress_file(model, folder / "m.occ", o); });
  };
  EXPECT_THAT(run(options_with(write<float>(folder, "x.safetensors", {{"x", &wide}}))),
              testing::AllOf(HasSubstr("of width 41"), HasSubstr("40 columns")));
  EXPECT_THAT(run(options_with(write<float>(folder, "x.safetensors", {{"x", &x}, {"y", &x}}))),
              HasSubstr("expected one tensor"));
  const Matrix<float> none(0, 40);
  EXPECT_THAT(run(options_with(write<float>(folder, "x.safetensors", {{"x", &none}}))), HasSubstr("shape [0, 40]"));
  Matrix<float> bad = x.clone();
  bad(31, 7) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(run(options_with(write<float>(folder, "x.safetensors", {{"x", &bad}}))),
              testing::AllOf(HasSubstr("x.safetensors: tensor 'x'"), HasSubstr("row 31, column 7")));

  Matrix<double> h = moments_oracle(x);
  const auto with = [&](const Matrix<double>& m) {
    return run(options_with("", write<double>(folder, "h.safetensors", {{"a", &m}})));
  };
  EXPECT_THAT(with(Matrix<double>(40, 39)), testing::AllOf(HasSubstr("[40, 40], found [40, 39]"), HasSubstr("'a'")));
  h(3, 5) += 0.5;
  EXPECT_THAT(with(h), HasSubstr("symmetric"));
  h(5, 3) += 0.5;
  h(6, 6) = -1;
  EXPECT_THAT(with(h), HasSubstr("row 6"));
  h(6, 2) = std::numeric_limits<double>::infinity();
  EXPECT_THAT(with(h), HasSubstr("row 6, column 2"));
  EXPECT_FALSE(std::filesystem::exists(folder / "m.occ"));
}

}  // namespace
}  // namespace occ
