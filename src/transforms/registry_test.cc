// Tests the promises of transform.h for every registered transform, over parameters and shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/normal_matrix_for_test.h"
#include "simd/for_each_target_for_test.h"
#include "transforms/transform.h"

namespace occ {
namespace {

struct Case {
  std::string name;
  Params::Given params;
};

// Every registered name must be here (checked below). `split` is cut at row 2 of every shape that has so many rows.
const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"identity", {}},
      {"signs", {}},
      {"signs", {{"seed", "9007199254740991"}, {"axis", "out"}}},
      {"hadamard", {}},
      {"hadamard", {{"axis", "out"}}},
      {"hadamard", {{"odd", "split"}}},
      {"hadamard", {{"block", "128"}}},
      {"hadamard", {{"block", "96"}, {"odd", "kronecker"}}},
      {"hadamard", {{"block", "3"}, {"axis", "out"}}},
      {"dct", {}},
      {"dct", {{"axis", "out"}}},
      {"dct", {{"block", "64"}}},
      {"dct", {{"block", "7"}, {"axis", "out"}}},
      {"dst", {}},
      {"dst", {{"axis", "out"}}},
      {"dst", {{"block", "50"}}},
      {"outliers", {}},
      {"outliers", {{"fraction", "0.1"}}},
      {"pca", {}},
      {"pca", {{"block", "24"}}},
      {"pca", {{"of", "hessian"}}},
      {"pca", {{"of", "hessian"}, {"block", "1"}}},
      {"rowscale", {}},
      {"rowscale", {{"steps", "8"}}},
      {"rownorm", {}},
      {"rownorm", {{"keep", "product"}}},
      {"split", {}},
      {"split", {{"rows", "2"}}},
      {"lowrank", {{"rank", "128"}}},
      {"lowrank", {{"rank", "4"}}},
  };
  return kCases;
}

std::string case_name(const Case& c) {
  std::string out = c.name;
  for (const auto& [key, value] : c.params) out += "_" + key + "_" + value;
  std::replace(out.begin(), out.end(), '.', '_');
  return out;
}

Matrix<float> noise(Shape shape, uint64_t seed) { return normal_matrix(shape.rows, shape.cols, seed); }

// Returns a positive definite H of correlated inputs.
Matrix<double> second_moments(size_t n) {
  Matrix<double> h(n, n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      h(i, j) = (i == j ? 1.0 : 0.0) + std::cos(0.3 * double(i)) * std::cos(0.3 * double(j)) +
                0.5 / double(1 + (i > j ? i - j : j - i));
    }
  }
  return h;
}

std::vector<float> values(MatrixView<const float> m) {
  std::vector<float> out;
  for (size_t r = 0; r < m.rows(); ++r) out.insert(out.end(), m.row(r), m.row(r) + m.cols());
  return out;
}

using Planes = std::vector<Matrix<float>>;

const std::vector<Shape> kShapes = {{1, 1},   {1, 37},  {1, 128}, {37, 1}, {3, 331}, {5, 576}, {2, 127},
                                    {20, 65}, {17, 96}, {0, 16},  {16, 0}, {4, 12},  {70, 48}};

class RegisteredTransform : public ::testing::TestWithParam<Case> {
 protected:
  // Leaves out the widest shapes for the transform whose fit takes cubic time.
  static std::vector<Shape> shapes() {
    std::vector<Shape> out = kShapes;
    if (GetParam().name == "pca") std::erase_if(out, [](Shape s) { return s.cols > 200; });
    return out;
  }
  const TransformEntry& entry() const { return *find_transform(GetParam().name); }
  size_t num_planes() const { return std::max<size_t>(entry().planes.size(), 1); }
  Params params(Shape shape) const {
    Params p(entry().params, GetParam().params, GetParam().name);
    if (GetParam().name == "split" && size_t(p.integer("rows")) > shape.rows) p.set("rows", "0");
    return p;
  }
  std::unique_ptr<Transform> fit(MatrixView<const float> x) const {
    const Matrix<double> h = GetParam().name == "pca" ? second_moments(x.cols()) : Matrix<double>();
    FitContext context;
    context.hessian = h.view();
    return transform_fit(entry())(params(x.shape()), x, context);
  }
  std::unique_ptr<Transform> load(Shape shape, ByteSpan side) const {
    ByteReader reader(side, "test");
    auto t = entry().load(params(shape), shape, reader);
    reader.expect_done();
    return t;
  }
  Bytes save(const Transform& t) const {
    ByteWriter out;
    t.save(out);
    return out.take();
  }

  Planes forward(const Transform& t, const Rect& at, MatrixView<const float> x) const {
    Planes planes;
    std::vector<MatrixView<float>> views;
    for (size_t i = 0; i < num_planes(); ++i) {
      const Rect rect = t.plane_rect(i, at);
      planes.emplace_back(rect.rows, rect.cols);
    }
    for (auto& p : planes) views.push_back(p.view());
    t.forward(at, x, views);
    return planes;
  }
  Planes forward(const Transform& t, MatrixView<const float> x) const {
    return forward(t, {0, 0, x.rows(), x.cols()}, x);
  }
  Matrix<float> inverse(const Transform& t, const Rect& at, const Planes& planes) const {
    Matrix<float> x(at.rows, at.cols);
    std::vector<MatrixView<const float>> views;
    for (const auto& p : planes) views.push_back(p.view());
    t.inverse(at, views, x.view());
    return x;
  }
  Matrix<float> inverse(const Transform& t, Shape shape, const Planes& planes) const {
    return inverse(t, {0, 0, shape.rows, shape.cols}, planes);
  }

  // An approximation can only map the x to which it was fitted, and only the fitted transform can do that.
  static const Transform& mapping(const Transform& fitted, const Transform& loaded) {
    return fitted.traits().exact ? loaded : fitted;
  }

  // inverse(forward(x)) must equal x up to `relative` times the norm of x, plus what underflow may lose. An
  // approximation (lowrank) must be finite and no worse than zero.
  void expect_round_trip(const Matrix<float>& x, double relative = 1e-6) {
    const auto t = fit(x.view());
    const auto back = inverse(*t, x.shape(), forward(*t, x.view()));
    double energy = 0, error = 0, largest = 0;
    for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::fabs(double{x.data()[i]}));
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_TRUE(std::isfinite(back.data()[i])) << i;
      const double scaled = largest == 0 ? 0 : x.data()[i] / largest;
      const double difference = largest == 0 ? back.data()[i] : (double{back.data()[i]} - x.data()[i]) / largest;
      energy += scaled * scaled;
      error += difference * difference;
    }
    const Rect all{0, 0, x.rows(), x.cols()};
    if (!t->traits().exact && t->plane_rect(1, all).rows < std::min(x.rows(), x.cols())) relative = 1;
    const double underflow = largest == 0 ? 0 : 1e-43 / largest * std::sqrt(double(x.size()));
    EXPECT_LE(std::sqrt(error), relative * std::sqrt(energy) + underflow) << x.rows() << "x" << x.cols();
  }
};

TEST_P(RegisteredTransform, RoundTrip) {
  for (const Shape shape : kShapes) expect_round_trip(noise(shape, 1));
}

TEST_P(RegisteredTransform, RoundTripOfAWideMatrix) {
  // An eigendecomposition with 4,096 columns takes a minute.
  const bool slow = GetParam().name == "pca" && !params({}).given("block");
  expect_round_trip(noise({7, slow ? size_t{520} : 4096}, 2));
}

TEST_P(RegisteredTransform, DegenerateValues) {
  for (const Shape shape : {Shape{1, 1}, Shape{6, 40}, Shape{33, 24}}) {
    Matrix<float> zeros(shape.rows, shape.cols);
    const auto t = fit(zeros.view());
    for (const float v : values(inverse(*t, shape, forward(*t, zeros.view())).view())) ASSERT_EQ(v, 0);
    expect_round_trip(zeros);
    for (const float fill : {1.0f, -3e-39f, 1e-41f, 1e-45f, 1e30f}) {
      Matrix<float> constant(shape.rows, shape.cols);
      std::fill_n(constant.data(), constant.size(), fill);
      expect_round_trip(constant);
    }
    auto tiny = noise(shape, 3), outlier = noise(shape, 4), constant_column = noise(shape, 5);
    for (size_t i = 0; i < tiny.size(); ++i) tiny.data()[i] *= 1e-40f;
    expect_round_trip(tiny);
    outlier(shape.rows / 2, shape.cols / 2) = 1e30f;
    expect_round_trip(outlier);
    for (size_t r = 0; r < shape.rows; ++r) constant_column(r, shape.cols / 3) = 7;
    expect_round_trip(constant_column);
  }
}

// <planes, adjoint(x)> = <inverse(planes), x>, with more or fewer vectors than the matrix has.
TEST_P(RegisteredTransform, AdjointIsTheTransposeOfInverse) {
  for (const Shape shape : shapes()) {
    const auto fitted = fit(noise(shape, 6).view());
    const TransformTraits traits = fitted->traits();
    ASSERT_LE(int{traits.maps_rows} + int{traits.maps_columns} + int{traits.product}, 1);
    if (!traits.maps_rows && !traits.maps_columns) continue;
    for (const size_t count : {1, 2, 100}) {
      const Shape vectors = traits.maps_rows ? Shape{count, shape.cols} : Shape{shape.rows, count};
      const Rect at{0, 0, vectors.rows, vectors.cols};
      const Matrix<float> x = noise(vectors, 7);
      Planes adjoint, planes;
      std::vector<MatrixView<float>> views;
      for (size_t i = 0; i < num_planes(); ++i) {
        const Rect r = fitted->plane_rect(i, at);
        adjoint.emplace_back(r.rows, r.cols);
        planes.push_back(noise(r.shape(), 8 + i));
      }
      for (auto& p : adjoint) views.push_back(p.view());
      fitted->adjoint(at, x.view(), views);
      const Matrix<float> decoded = inverse(*fitted, vectors, planes);
      double left = 0, right = 0, size = 0;
      for (size_t i = 0; i < num_planes(); ++i) {
        for (size_t k = 0; k < planes[i].size(); ++k) {
          left += double{planes[i].data()[k]} * double{adjoint[i].data()[k]};
        }
      }
      for (size_t k = 0; k < x.size(); ++k) {
        right += double{decoded.data()[k]} * double{x.data()[k]};
        size += std::fabs(double{decoded.data()[k]} * double{x.data()[k]});
      }
      EXPECT_NEAR(left, right, 1e-5 * size) << shape.rows << "x" << shape.cols << ", " << count;
    }
  }
}

TEST_P(RegisteredTransform, KeepsNormsIfItSaysSo) {
  for (const Shape shape : shapes()) {
    const auto x = noise(shape, 6);
    const auto t = fit(x.view());
    if (!t->traits().isometric) continue;
    double before = 0, after = 0;
    for (const float v : values(x.view())) before += double{v} * v;
    for (const auto& p : forward(*t, x.view())) {
      for (const float v : values(p.view())) after += double{v} * v;
    }
    EXPECT_NEAR(after, before, 2e-6 * before);
  }
}

TEST_P(RegisteredTransform, IsLinearIfItSaysSo) {
  for (const Shape shape : shapes()) {
    const auto a = noise(shape, 7), b = noise(shape, 8);
    const auto t = fit(a.view());
    // A transform that mixes rows is linear in the whole matrix.
    if (!t->traits().linear && t->traits().row_local) continue;
    if (!t->traits().exact) continue;
    Matrix<float> sum(shape.rows, shape.cols);
    for (size_t i = 0; i < sum.size(); ++i) sum.data()[i] = 2 * a.data()[i] - b.data()[i];
    const auto ya = forward(*t, a.view()), yb = forward(*t, b.view()), ys = forward(*t, sum.view());
    for (size_t p = 0; p < ya.size(); ++p) {
      const auto va = values(ya[p].view()), vb = values(yb[p].view()), vs = values(ys[p].view());
      const float largest = va.empty() ? 0 : std::fabs(*std::max_element(va.begin(), va.end(), [](float l, float r) {
        return std::fabs(l) < std::fabs(r);
      }));
      for (size_t i = 0; i < va.size(); ++i) ASSERT_NEAR(vs[i], 2 * va[i] - vb[i], 1e-5 * (1 + largest));
    }
  }
}

TEST_P(RegisteredTransform, SaveAndLoadGiveTheSameFloats) {
  for (const Shape shape : shapes()) {
    const auto x = noise(shape, 9);
    const auto t = fit(x.view());
    const Bytes side = save(*t);
    const auto loaded = load(shape, side);
    EXPECT_EQ(save(*loaded), side);
    EXPECT_EQ(loaded->traits().linear, t->traits().linear);
    EXPECT_EQ(loaded->traits().isometric, t->traits().isometric);
    EXPECT_EQ(loaded->traits().row_local, t->traits().row_local);
    const auto planes = forward(*t, x.view()), again = forward(mapping(*t, *loaded), x.view());
    for (size_t p = 0; p < planes.size(); ++p) EXPECT_EQ(values(planes[p].view()), values(again[p].view()));
    EXPECT_EQ(values(inverse(*t, shape, planes).view()), values(inverse(*loaded, shape, planes).view()));
  }
}

TEST_P(RegisteredTransform, SideInformationGrowsWithTheRowsIfItSaysSo) {
  const auto few = fit(noise({100, 64}, 11).view()), many = fit(noise({200, 64}, 12).view());
  EXPECT_EQ(save(*many).size() > save(*few).size(), few->traits().side_grows);
}

TEST_P(RegisteredTransform, TruncatedSideInformationIsAnInputError) {
  const auto x = noise({5, 12}, 10);
  const Bytes side = save(*fit(x.view()));
  for (size_t length = 0; length < side.size(); ++length) {
    try {
      load(x.shape(), ByteSpan(side).first(length));
      FAIL() << "length " << length;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
    }
  }
  if (side.empty()) return;
  const Bytes ones(side.size(), 0xff);  // NaN in f16 and in bf16
  EXPECT_THROW(load(x.shape(), ones), Error);
  EXPECT_THROW(load({size_t{1} << 60, size_t{1} << 60}, side), Error);
}

TEST_P(RegisteredTransform, PanelByPanelIsTheWhole) {
  for (const Shape shape : shapes()) {
    const auto x = noise(shape, 11);
    const auto t = fit(x.view());
    const Granule granule = t->granule();
    EXPECT_EQ(granule.rows == 0, !t->traits().row_local);
    const auto whole = forward(*t, x.view());
    const auto back = inverse(*t, shape, whole);
    const size_t row_step = granule.rows == 0 ? std::max<size_t>(shape.rows, 1) : 7 * granule.rows;
    const size_t col_step = granule.cols == 0 ? std::max<size_t>(shape.cols, 1) : 5 * granule.cols;
    for (size_t r = 0; r < shape.rows; r += row_step) {
      for (size_t c = 0; c < shape.cols; c += col_step) {
        const Rect at{r, c, std::min(row_step, shape.rows - r), std::min(col_step, shape.cols - c)};
        const auto part = forward(*t, at, x.view().sub(at));
        for (size_t p = 0; p < part.size(); ++p) {
          EXPECT_EQ(values(part[p].view()), values(whole[p].view().sub(t->plane_rect(p, at))));
        }
        EXPECT_EQ(values(inverse(*t, at, part).view()), values(back.view().sub(at)));
      }
    }
  }
}

TEST_P(RegisteredTransform, StridesAndPlaceDoNotMatter) {
  for (const Shape shape : shapes()) {
    const auto x = noise(shape, 12);
    const auto t = fit(x.view());
    const auto planes = forward(*t, x.view());
    const auto back = inverse(*t, shape, planes);
    if (num_planes() != 1) continue;
    Matrix<float> wide(shape.rows, shape.cols + 5);
    std::fill_n(wide.data(), wide.size(), 99.0f);
    const MatrixView<float> inside = wide.view().sub({0, 3, shape.rows, shape.cols});
    for (size_t r = 0; r < shape.rows; ++r) std::copy_n(x.row(r), shape.cols, inside.row(r));
    const Rect all{0, 0, shape.rows, shape.cols};
    const MatrixView<float> out[] = {inside};
    const MatrixView<const float> in[] = {inside};
    t->forward(all, inside, out);
    EXPECT_EQ(values(inside), values(planes[0].view()));
    t->inverse(all, in, inside);
    EXPECT_EQ(values(inside), values(back.view()));
    for (size_t r = 0; r < shape.rows; ++r) {
      for (const size_t c : {size_t{0}, size_t{2}, shape.cols + 3, shape.cols + 4}) ASSERT_EQ(wide(r, c), 99.0f);
    }
  }
}

TEST_P(RegisteredTransform, SameFloatsOnEveryTarget) {
  for (const Shape shape : shapes()) {
    const auto x = noise(shape, 13);
    const auto t = fit(x.view());
    const auto planes = forward(*t, x.view());
    const auto back = inverse(*t, shape, planes);
    for_each_simd_target([&] {
      const auto loaded = load(shape, save(*t));
      const auto again = forward(mapping(*t, *loaded), x.view());
      for (size_t p = 0; p < planes.size(); ++p) ASSERT_EQ(values(again[p].view()), values(planes[p].view()));
      ASSERT_EQ(values(inverse(*loaded, shape, planes).view()), values(back.view()));
    });
  }
}

// Returns the sum of e H e^T over the rows of e, the weighted error of a layer.
double weighted(const Matrix<float>& e, const Matrix<double>& h) {
  double total = 0;
  for (size_t r = 0; r < e.rows(); ++r) {
    for (size_t i = 0; i < e.cols(); ++i) {
      double sum = 0;
      for (size_t j = 0; j < e.cols(); ++j) sum += h(i, j) * e(r, j);
      total += sum * e(r, i);
    }
  }
  return total;
}

// An error in the coordinates must cost what it costs in the weights: x H x^T = y H' y^T with x = inverse(y). rowscale
// and split do not change directions, so H stays the same.
TEST_P(RegisteredTransform, CarriesTheHessian) {
  for (const Shape shape : shapes()) {
    const auto x = noise(shape, 14);
    const auto t = fit(x.view());
    auto h = second_moments(shape.cols);
    if (!t->traits().linear || !t->traits().row_local) {
      EXPECT_THROW(t->transform_hessian(h.view()), Error);
      continue;
    }
    const auto before = h.clone();
    t->transform_hessian(h.view());
    if (GetParam().name == "rowscale" || GetParam().name == "split") {
      for (size_t i = 0; i < h.size(); ++i) ASSERT_EQ(h.data()[i], before.data()[i]);
      continue;
    }
    for (size_t i = 0; i < h.rows(); ++i) {
      for (size_t j = 0; j < i; ++j) ASSERT_EQ(h(i, j), h(j, i));
    }
    const auto y = forward(*t, x.view());
    const double expected = weighted(x, before);
    EXPECT_NEAR(weighted(y[0], h), expected, 2e-6 * expected + 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(Transforms, RegisteredTransform, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return case_name(test.param); });

TEST(TransformRegistry, EveryEntryIsTestedAndWhole) {
  std::map<std::string_view, int> count;
  for (const TransformEntry& entry : transform_registry()) {
    EXPECT_EQ(find_transform(entry.name), &entry);
    EXPECT_EQ(++count[entry.name], 1);
    EXPECT_FALSE(entry.summary.empty());
    EXPECT_NE(entry.load, nullptr);
    EXPECT_EQ(transform_fit_needs_blas(entry.name), entry.fit == nullptr);
    EXPECT_NE(transform_fit(entry), nullptr);
    EXPECT_TRUE(std::any_of(cases().begin(), cases().end(), [&](const Case& c) { return c.name == entry.name; }));
  }
  EXPECT_EQ(find_transform("none"), nullptr);
}

}  // namespace
}  // namespace occ
