// A transform that the library does not contain is registered by one line. `auto` must try it, choose it and estimate
// its bytes correctly.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "compress/coordinates.h"
#include "compress/estimate.h"
#include "container/archive_file.h"
#include "occ/compress.h"
#include "test_data.h"
#include "transforms/transform.h"

namespace occ {
namespace {

constexpr size_t kToyCols = 61;  // no other test of this program has a matrix with this number of columns

std::vector<float> pattern() {
  std::vector<float> p(kToyCols);
  Rng rng(1);
  for (float& v : p) v = static_cast<float>(rng.normal());
  return p;
}

// Row r becomes x_r minus the pattern p rotated by s_r. This leaves little of rows that are rotated copies of p. Side
// information: s_r as two bytes for every row.
class Rotated final : public Transform {
 public:
  explicit Rotated(std::vector<uint16_t> shifts) : shifts_(std::move(shifts)) {}
  TransformTraits traits() const override { return {.side_grows = true}; }
  void forward(const Rect& at, MatrixView<const float> x, std::span<const MatrixView<float>> planes) const override {
    add(at, -1, x, planes[0]);
  }
  void inverse(const Rect& at, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const override {
    add(at, 1, planes[0], x);
  }
  void save(ByteWriter& out) const override { out.put_array(shifts_.data(), shifts_.size()); }

 private:
  void add(const Rect& at, float sign, MatrixView<const float> from, MatrixView<float> to) const {
    for (size_t r = 0; r < from.rows(); ++r) {
      const size_t shift = shifts_[at.row + r];
      for (size_t c = 0; c < kToyCols; ++c) to(r, c) = from(r, c) + sign * pattern_[(c + shift) % kToyCols];
    }
  }

  std::vector<uint16_t> shifts_;
  std::vector<float> pattern_ = pattern();
};

std::unique_ptr<Transform> fit(const Params&, MatrixView<const float> x, const FitContext&) {
  const std::vector<float> p = pattern();
  std::vector<uint16_t> shifts(x.rows());
  for (size_t r = 0; r < x.rows(); ++r) {
    double most = -1e30;
    for (size_t shift = 0; shift < kToyCols; ++shift) {
      double product = 0;
      for (size_t c = 0; c < kToyCols; ++c) product += x(r, c) * p[(c + shift) % kToyCols];
      if (product > most) most = product, shifts[r] = static_cast<uint16_t>(shift);
    }
  }
  return std::make_unique<Rotated>(std::move(shifts));
}

std::unique_ptr<Transform> load(const Params&, Shape shape, ByteReader& side) {
  std::vector<uint16_t> shifts(shape.rows);
  side.get_array(shifts.data(), shifts.size());
  return std::make_unique<Rotated>(std::move(shifts));
}

std::string candidate(Shape shape, size_t, uint64_t) { return shape.cols == kToyCols ? "rotated" : ""; }

const TransformEntry& rotated_entry = register_transform({.name = "rotated",
                                                          .summary = "rows that are rotated copies of a pattern",
                                                          .params = {},
                                                          .planes = {},
                                                          .fit = fit,
                                                          .load = load,
                                                          .roles = {.candidate = candidate}});

Matrix<float> rotated_copies(size_t rows) {
  const std::vector<float> p = pattern();
  Matrix<float> x(rows, kToyCols);
  Rng rng(2);
  for (size_t r = 0; r < rows; ++r) {
    const size_t shift = rng.next() % kToyCols;
    for (size_t c = 0; c < kToyCols; ++c) x(r, c) = p[(c + shift) % kToyCols] + static_cast<float>(0.1 * rng.normal());
  }
  return x;
}

TEST(RegisteredTransform, IsChosenByAutoAndDecodes) {
  const Matrix<float> x = rotated_copies(6000);
  const TempFolder folder;
  CompressOptions o;
  o.sync = false;
  o.bits = 2;
  const CompressReport r = compress_matrix(x.view(), "x", folder / "x.occ", o);
  EXPECT_THAT(r.tensors[0].recipe, testing::StartsWith("rotated > trellis"));
  EXPECT_THAT(r.tensors[0].choice, testing::HasSubstr("rotated -"));
  EXPECT_LE(r.bpw(), 2);
  EXPECT_GE(r.bpw(), 0.985 * 2);

  Matrix<float> decoded(x.rows(), x.cols());
  ArchiveFile(folder / "x.occ").read_f32(0, 0, decoded.size(), decoded.data());
  double error = 0, energy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += std::pow(double{x.data()[i]} - decoded.data()[i], 2);
    energy += std::pow(double{x.data()[i]}, 2);
  }
  EXPECT_NEAR(error / energy / r.nmse, 1, 1e-4);
  o.method = "trellis";
  o.force = true;
  EXPECT_LT(10 * r.nmse, compress_matrix(x.view(), "x", folder / "x.occ", o).nmse);
}

TEST(RegisteredTransform, ItsSideInformationIsEstimatedForAllRows) {
  const Matrix<float> x = rotated_copies(8000);
  const Matrix<float> sample = sample_rows(MatrixSource(x.view()), 500 * kToyCols);
  ASSERT_EQ(sample.rows(), 500u);
  const Recipe recipe =
      Coordinates{.transforms = std::string(rotated_entry.name)}.around(Recipe::parse("trellis(step=0.5) > rans"));
  const Estimate whole = estimate_blob(recipe, x.view(), x.rows(), {}, "x");
  const Estimate part = estimate_blob(recipe, sample.view(), x.rows(), {}, "x");
  EXPECT_NEAR(part.bytes / whole.bytes, 1, 0.01);  // the two bytes are a tenth of a row
}

}  // namespace
}  // namespace occ
