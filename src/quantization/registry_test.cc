// Tests the promises of quantizer.h for every registered quantizer. A quantizer without parameter sets here runs with
// its default parameters.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "hwy/targets.h"
#include "quantization/quantizer_for_test.h"

namespace occ {
namespace {

std::vector<QuantizerCase> all_cases() {
  std::vector<QuantizerCase> cases = {
      {"uniform", {{"bits", "1"}}},
      {"uniform", {{"bits", "2"}, {"group", "7"}}},
      {"uniform", {{"bits", "4"}, {"group", "32"}, {"clip", "absmax"}}},
      {"uniform", {{"bits", "4"}, {"group", "1"}, {"zero", "asymmetric"}}},
      {"uniform", {{"bits", "3"}, {"per", "column"}}},
      {"uniform", {{"bits", "5"}, {"per", "column"}, {"zero", "asymmetric"}, {"clip", "absmax"}}},
      {"uniform", {{"bits", "8"}, {"per", "tensor"}}},
      {"uniform", {{"bits", "8"}, {"zero", "asymmetric"}}},
      {"uniform", {{"bits", "2"}, {"group", "16"}, {"zero", "asymmetric"}, {"clip", "absmax"}}},
      {"uniform", {{"bits", "16"}, {"zero", "asymmetric"}}},
      {"uniform", {{"bits", "16"}, {"per", "tensor"}, {"clip", "absmax"}}},
      {"lloyd", {{"bits", "1"}}},
      {"lloyd", {{"bits", "2"}, {"group", "20"}}},
      {"lloyd", {{"bits", "3"}, {"codebook", "fitted"}}},
      {"lloyd", {{"bits", "4"}, {"codebook", "fitted"}, {"per", "column"}}},
      {"lloyd", {{"bits", "5"}, {"per", "tensor"}}},
      {"lloyd", {{"bits", "6"}, {"codebook", "fitted"}, {"per", "tensor"}}},
      {"lloyd", {{"bits", "8"}, {"per", "column"}}},
      {"lloyd", {{"bits", "8"}, {"codebook", "fitted"}, {"group", "64"}}},
      {"trellis", {{"states", "4"}, {"step", "0.01"}}},
      {"trellis", {{"states", "64"}, {"step", "2"}}},
      {"polar", {{"direction", "6"}, {"magnitude", "3"}}},
      {"polar", {{"direction", "5"}, {"radius", "norm"}, {"magnitude", "4"}}},
      {"polar", {{"direction", "4"}, {"magnitude", "4"}, {"dim", "2"}, {"codebook", "kmeans"}}},
      {"polar", {{"direction", "10"}, {"dim", "4"}, {"codebook", "random"}}},
      {"polar", {{"direction", "9"}, {"dim", "16"}, {"codebook", "random"}, {"magnitude", "1"}}},
      {"kashin", {{"u", "1"}, {"v", "1"}, {"rounds", "4"}}},
      {"kashin", {{"u", "3"}, {"v", "2"}, {"basis", "hadamard"}, {"start", "pair"}, {"rounds", "3"}}},
      {"kashin", {{"rounds", "0"}}},
      {"kashin", {{"block", "32"}, {"basis", "orthogonal"}, {"rounds", "2"}}},
      {"kashin", {{"block", "24"}, {"clusters", "joint"}, {"rounds", "3"}}},
      {"kashin", {{"block", "64"}, {"clusters", "joint"}, {"basis", "hadamard"}, {"u", "3"}, {"rounds", "0"}}},
      {"e8", {{"step", "0.01"}}},
      {"opq", {{"bits", "3"}, {"clusters", "3"}, {"rounds", "2"}}},
      {"opq", {{"m", "12"}, {"k", "9"}, {"block", "20"}, {"codebook", "rtn"}}},
      {"qet", {{"levels", "1"}, {"m", "8"}, {"k", "16"}}},
      {"qet", {{"levels", "3"}, {"layout", "groups"}, {"codebook", "rtn"}}},
      {"qet", {{"levels", "6"}, {"bits", "6"}}},
      {"pq", {{"m", "16"}, {"k", "7"}}},
      {"ggml", {{"type", "Q5_1"}}},
      {"ggml", {{"type", "Q8_0"}}},
      {"ggml", {{"type", "Q4_0"}, {"group", "48"}}},
      {"ggml", {{"type", "IQ4_NL"}}},
      {"ggml", {{"type", "Q2_K"}}},
      {"ggml", {{"type", "Q3_K"}}},
      {"ggml", {{"type", "Q4_K"}}},
      {"ggml", {{"type", "Q6_K"}}},
      {"pq", {{"bits", "2.5"}, {"codebook", "rtn"}}},
      {"pq", {{"m", "9"}, {"k", "40"}, {"codebook", "rtn"}, {"codebook_scale", "column"}, {"codebook_bits", "5"}}},
  };
  for (const QuantizerEntry& entry : quantizer_registry()) cases.push_back({std::string(entry.name), {}});
  return cases;
}

// Whether the encoder uses knowledge that is not stored, so that its codes are better than those of a loaded quantizer.
bool learns(const QuantizerCase& c) { return c.name == "trellis" || c.name == "kashin" || c.name == "e8"; }

// Kinds of data that quantizers must be able to code. All values are finite.
const char* const kKinds[] = {"normal",  "zeros", "constant", "negative",       "denormal",    "tiny",
                              "outlier", "huge",  "far",      "some zero rows", "mixed scales"};
Matrix<float> data_of(const std::string& kind, size_t rows, size_t cols) {
  Matrix<float> m = normal_matrix(rows, cols, 11);
  Rng rng(12);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) {
      float& x = m(r, c);
      if (kind == "zeros") x = 0;
      if (kind == "constant") x = 0.3f;
      if (kind == "negative") x = -std::abs(x) - 5;
      if (kind == "denormal") x *= 1e-40f;
      if (kind == "tiny") x *= 1e-36f;
      if (kind == "outlier" && r == rows / 2 && c == cols / 3) x = 1e9f;
      if (kind == "huge") x = static_cast<float>((rng.uniform() < 0.5 ? -1 : 1) * 3.4e38 * rng.uniform());
      if (kind == "far") x = 1e6f + x;
      if (kind == "some zero rows" && r % 2 == 0) x = 0;
      if (kind == "mixed scales") x = std::ldexp(x, static_cast<int>(r * 37 % 200) - 100);
    }
  }
  return m;
}

constexpr Shape kShapes[] = {{1, 1}, {1, 7}, {5, 1}, {3, 33}, {17, 100}, {40, 257}, {0, 9}, {4, 0}};

class QuantizerTest : public testing::TestWithParam<QuantizerCase> {};

// Rounds the place of a cut up to a multiple of the granule.
size_t aligned(size_t at, size_t granule, size_t end) {
  return granule == 0 ? (at == 0 ? 0 : end) : std::min(end, ceil_div(at, granule) * granule);
}

TEST_P(QuantizerTest, ReconstructionIsWhatDecodes) {
  for (const Shape shape : kShapes) {
    for (const std::string kind : kKinds) {
      SCOPED_TRACE(fmt::format("{} x {} {}", shape.rows, shape.cols, kind));
      const Matrix<float> x = data_of(kind, shape.rows, shape.cols);
      const auto quantizer = GetParam().fit(x.view());
      const auto planes = quantizer->planes();
      ASSERT_EQ(planes.size(), GetParam().entry().planes.size());
      const Coded coded = quantize_whole(*quantizer, x.view());
      for (size_t i = 0; i < planes.size(); ++i) {
        EXPECT_EQ(planes[i].name, GetParam().entry().planes[i]);
        for (size_t k = 0; k < coded.symbols[i].size(); ++k) {
          ASSERT_LT(uint32_t{coded.symbols[i].data()[k]}, planes[i].alphabet);
        }
      }
      const Matrix<float> decoded = dequantize_whole(*quantizer, coded);
      ASSERT_TRUE(same_floats(coded.values.view(), decoded.view()));
      for (size_t k = 0; k < decoded.size(); ++k) ASSERT_TRUE(std::isfinite(decoded.data()[k]));
    }
  }
}

TEST_P(QuantizerTest, IntegersTimesFactorsAreTheValues) {
  for (const Shape shape : kShapes) {
    if (shape.size() == 0) continue;
    const Matrix<float> x = data_of(kKinds[0], shape.rows, shape.cols);
    const auto quantizer = GetParam().fit(x.view());
    const std::optional<IntegerView> view = quantizer->integer_view();
    if (!view) continue;
    const Coded coded = quantize_whole(*quantizer, x.view());
    Matrix<int32_t> k(shape.rows, shape.cols);
    quantizer->integers({0, 0, shape.rows, shape.cols}, coded.const_planes(), k.view());
    for (size_t r = 0; r < shape.rows; ++r) {
      for (size_t c = 0; c < shape.cols; ++c) {
        const size_t i = r * view->row_step + c / view->group;
        const float zero = view->zeros.empty() ? view->common_zero : view->zeros[i];
        const float factor = view->factors.empty() ? 1 : view->factors[i];
        const float column = view->column_factors.empty() ? 1 : view->column_factors[c];
        ASSERT_EQ((static_cast<float>(k(r, c)) - zero) * factor * column, coded.values(r, c));
        if (view->alphabet != 0) {
          ASSERT_TRUE(k(r, c) >= 0 && static_cast<uint32_t>(k(r, c)) < view->alphabet);
        }
      }
    }
    if (view->machine == nullptr) continue;
    for (size_t c = 0; c < shape.cols; ++c) {  // the lowest bits of the integers are the contexts of the machine
      const FiniteState& machine = *view->machine;
      size_t state = 0;
      for (size_t r = 0; r < shape.rows; ++r) {
        if (r % view->restart_rows == 0) state = 0;
        ASSERT_EQ(k(r, c) & 1, machine.context[state]);
        state = machine.next[state * machine.classes + (static_cast<uint32_t>(k(r, c) >> 1) & (machine.classes - 1))];
      }
    }
  }
}

TEST_P(QuantizerTest, ErrorIsNeverAboveTheEnergy) {
  // A scale of 0 would give 1. One bit per value cannot do better with any level on data far from zero, so all kinds
  // must stay below this limit.
  for (const std::string kind : kKinds) {
    const Matrix<float> x = data_of(kind, 24, 160);
    const Coded coded = quantize_whole(*GetParam().fit(x.view()), x.view());
    EXPECT_LE(nmse_oracle(x.view(), coded.values.view()), 1.3) << kind;
  }
  const Matrix<float> zeros(5, 40);
  const Coded coded = quantize_whole(*GetParam().fit(zeros.view()), zeros.view());
  for (size_t i = 0; i < zeros.size(); ++i) ASSERT_EQ(coded.values.data()[i], 0);
}

TEST_P(QuantizerTest, PartsInAnyOrderEqualTheWhole) {
  const Matrix<float> x = data_of("normal", 29, 131);
  const auto quantizer = GetParam().fit(x.view());
  const Coded whole = quantize_whole(*quantizer, x.view());
  const Granule g = quantizer->granule();
  std::vector<size_t> row_cuts, col_cuts;
  for (const size_t r : {0, 1, 8, 9, 21, 29}) row_cuts.push_back(aligned(r, g.rows, 29));
  for (const size_t c : {0, 3, 16, 32, 33, 50, 114, 131}) col_cuts.push_back(aligned(c, g.cols, 131));
  Coded parts;
  parts.values = x.clone();
  for (const auto& plane : quantizer->planes()) parts.symbols.emplace_back(plane.rows, plane.cols);
  const auto planes = parts.planes();
  Matrix<float> decoded(29, 131);
  for (size_t j = col_cuts.size() - 1; j-- > 0;) {
    for (size_t i = 0; i + 1 < row_cuts.size(); ++i) {
      const Rect at{row_cuts[i], col_cuts[j], row_cuts[i + 1] - row_cuts[i], col_cuts[j + 1] - col_cuts[j]};
      if (at.rows == 0 || at.cols == 0) continue;
      std::vector<MatrixView<Symbol>> views;
      for (size_t p = 0; p < planes.size(); ++p) views.push_back(planes[p].sub(quantizer->plane_rect(p, at)));
      quantizer->quantize(at, parts.values.view().sub(at), views);
      const std::vector<MatrixView<const Symbol>> const_views(views.begin(), views.end());
      quantizer->dequantize(at, const_views, decoded.view().sub(at));
    }
  }
  EXPECT_TRUE(same_symbols(whole, parts));
  EXPECT_TRUE(same_floats(whole.values.view(), parts.values.view()));
  EXPECT_TRUE(same_floats(whole.values.view(), decoded.view()));
}

TEST_P(QuantizerTest, StridedViewsTouchNothingElse) {
  const Rect at{2, 3, 13, 45};
  Matrix<float> big = normal_matrix(20, 60, 3);
  const Matrix<float> before = big.clone();
  Matrix<float> packed(at.rows, at.cols);
  for (size_t r = 0; r < at.rows; ++r) std::memcpy(packed.row(r), &big(at.row + r, at.col), at.cols * sizeof(float));
  const auto quantizer = GetParam().fit(big.view().sub(at));
  EXPECT_EQ(side_bytes(*quantizer), side_bytes(*GetParam().fit(packed.view())));
  const Coded expected = quantize_whole(*quantizer, packed.view());
  std::vector<Matrix<Symbol>> wide;
  std::vector<MatrixView<Symbol>> views;
  for (const auto& plane : quantizer->planes()) {
    wide.emplace_back(plane.rows + 2, plane.cols + 5);
    std::fill_n(wide.back().data(), wide.back().size(), Symbol{54321});
  }
  for (size_t i = 0; i < wide.size(); ++i) {
    views.push_back(wide[i].view().sub({1, 2, expected.symbols[i].rows(), expected.symbols[i].cols()}));
  }
  quantizer->quantize({0, 0, at.rows, at.cols}, big.view().sub(at), views);
  EXPECT_TRUE(same_floats(expected.values.view(), big.view().sub(at)));
  for (size_t r = 0; r < 20; ++r) {
    for (size_t c = 0; c < 60; ++c) {
      const bool inside = r >= at.row && r < at.row + at.rows && c >= at.col && c < at.col + at.cols;
      ASSERT_TRUE(inside || big(r, c) == before(r, c));
    }
  }
  for (size_t i = 0; i < wide.size(); ++i) {
    const auto& s = expected.symbols[i];
    for (size_t r = 0; r < wide[i].rows(); ++r) {
      for (size_t c = 0; c < wide[i].cols(); ++c) {
        const bool inside = r >= 1 && r - 1 < s.rows() && c >= 2 && c - 2 < s.cols();
        ASSERT_EQ(wide[i](r, c), inside ? s(r - 1, c - 2) : Symbol{54321});
      }
    }
  }
}

TEST_P(QuantizerTest, QuantizingTheReconstructionChangesNothing) {
  if (GetParam().name == "qet") GTEST_SKIP() << "decoded neighbours may have changed places";
  if (GetParam().name == "opq") GTEST_SKIP() << "rotations round";
  if (learns(GetParam())) GTEST_SKIP() << "searches: what it made may be made cheaper or otherwise still";
  for (const std::string kind : {"normal", "outlier", "negative", "mixed scales"}) {
    const Matrix<float> x = data_of(kind, 19, 130);
    const auto quantizer = GetParam().fit(x.view());
    const Coded once = quantize_whole(*quantizer, x.view());
    const Coded twice = quantize_whole(*quantizer, once.values.view());
    EXPECT_LE(nmse_oracle(once.values.view(), twice.values.view()), 1e-12) << kind;
  }
}

TEST_P(QuantizerTest, LoadOfSaveIsTheSameQuantizer) {
  for (const std::string kind : kKinds) {
    const Matrix<float> x = data_of(kind, 18, 75);
    const auto quantizer = GetParam().fit(x.view());
    const Bytes bytes = side_bytes(*quantizer);
    ByteReader side(bytes, "test");
    const auto loaded = GetParam().entry().load(GetParam().params(), x.shape(), side);
    EXPECT_NO_THROW(side.expect_done());
    EXPECT_EQ(side_bytes(*loaded), bytes);
    const Coded a = quantize_whole(*quantizer, x.view());
    if (!learns(GetParam())) {
      EXPECT_TRUE(same_symbols(a, quantize_whole(*loaded, x.view()))) << kind;
    }
    EXPECT_TRUE(same_floats(a.values.view(), dequantize_whole(*loaded, a).view())) << kind;
  }
}

TEST_P(QuantizerTest, SideInformationGrowsWithTheRowsIfItSaysSo) {
  // Sizes of its codebooks follow from the budget; a blank tells their size.
  if (GetParam().entry().blank != nullptr) return;
  const auto few = GetParam().fit(data_of("normal", 32, 64).view());
  const auto many = GetParam().fit(data_of("normal", 64, 64).view());
  EXPECT_EQ(side_bytes(*many).size() > side_bytes(*few).size(), few->side_grows());
}

TEST_P(QuantizerTest, TruncatedSideInformationIsAnInputError) {
  const Matrix<float> x = data_of("far", 6, 40);
  const Bytes bytes = side_bytes(*GetParam().fit(x.view()));
  ASSERT_FALSE(bytes.empty());
  for (size_t length = 0; length < bytes.size(); ++length) {
    ByteReader side(ByteSpan(bytes).first(length), "test");
    try {
      GetParam().entry().load(GetParam().params(), x.shape(), side);
      FAIL() << length << " of " << bytes.size() << " bytes were enough";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
    }
  }
}

TEST_P(QuantizerTest, HostileSideInformationThrowsOrDecodes) {
  const Matrix<float> x = data_of("normal", 4, 30);
  const Bytes good = side_bytes(*GetParam().fit(x.view()));
  Rng rng(5);
  for (int i = 0; i < 300; ++i) {
    Bytes bytes = good;
    for (int k = 0; k < 3; ++k) bytes[rng.below(bytes.size())] = static_cast<uint8_t>(rng.next());
    ByteReader side(bytes, "test");
    try {
      const auto loaded = GetParam().entry().load(GetParam().params(), x.shape(), side);
      const auto planes = loaded->planes();
      Coded coded;
      coded.values = Matrix<float>(x.rows(), x.cols());
      for (const SymbolPlane& plane : planes) coded.symbols.emplace_back(plane.rows, plane.cols);
      for (size_t p = 0; p < planes.size(); ++p) {
        for (size_t s = 0; s < coded.symbols[p].size(); ++s) {
          coded.symbols[p].data()[s] = static_cast<Symbol>(rng.below(planes[p].alphabet));
        }
      }
      const Matrix<float> decoded = dequantize_whole(*loaded, coded);
      for (size_t s = 0; s < decoded.size(); ++s) ASSERT_TRUE(std::isfinite(decoded.data()[s]));
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
    }
  }
}

TEST_P(QuantizerTest, EverySimdTargetGivesTheSame) {
  for (const size_t cols : {1, 2, 5, 31, 64, 203}) {
    for (const std::string kind : {"normal", "far", "denormal", "outlier"}) {
      const Matrix<float> x = data_of(kind, 9, cols);
      const auto reference = GetParam().fit(x.view());
      const Coded expected = quantize_whole(*reference, x.view());
      for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
        SCOPED_TRACE(fmt::format("{} columns, {}, {}", cols, kind, hwy::TargetName(target)));
        hwy::SetSupportedTargetsForTest(target);
        const auto quantizer = GetParam().fit(x.view());
        EXPECT_EQ(side_bytes(*quantizer), side_bytes(*reference));
        const Coded coded = quantize_whole(*quantizer, x.view());
        EXPECT_TRUE(same_symbols(coded, expected));
        EXPECT_TRUE(same_floats(coded.values.view(), expected.values.view()));
        EXPECT_TRUE(same_floats(dequantize_whole(*quantizer, expected).view(), expected.values.view()));
      }
      hwy::SetSupportedTargetsForTest(0);
    }
  }
}

TEST_P(QuantizerTest, ThreadsDoNotChangeIt) {
  const Matrix<float> x = normal_matrix(500, 321, 4);  // large enough for several panels
  Bytes one;
  {
    ThreadLimit limit(1);
    one = side_bytes(*GetParam().fit(x.view()));
  }
  EXPECT_EQ(side_bytes(*GetParam().fit(x.view())), one);
}

INSTANTIATE_TEST_SUITE_P(All, QuantizerTest, testing::ValuesIn(all_cases()),
                         [](const testing::TestParamInfo<QuantizerCase>& tested) {
                           std::string name = std::to_string(tested.index) + "_" + tested.param.text();
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

TEST(QuantizerRegistry, NamesAreUniqueAndFound) {
  for (const QuantizerEntry& entry : quantizer_registry()) {
    EXPECT_EQ(find_quantizer(entry.name), &entry);
    EXPECT_NE(quantizer_fit(entry), nullptr);
    EXPECT_EQ(quantizer_fit_needs_blas(entry.name), entry.fit == nullptr);
    EXPECT_FALSE(entry.summary.empty());
    EXPECT_NO_THROW(Params{entry.params});
  }
  EXPECT_EQ(find_quantizer("no such"), nullptr);
  EXPECT_EQ(find_quantizer(""), nullptr);
  EXPECT_FALSE(quantizer_fit_needs_blas(""));
}

}  // namespace
}  // namespace occ
