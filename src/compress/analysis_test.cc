// Analyses matrices whose best coordinate system is known, and checks by how much it wins.
#include "compress/analysis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/normal_matrix_for_test.h"
#include "compress/analysis_stages.h"
#include "compress/matrix_file.h"
#include "linalg/linalg.h"
#include "metrics/limits.h"
#include "occ/error.h"
#include "transforms/transform.h"

namespace occ {
namespace {

using testing::HasSubstr;

TensorAnalysis analyze(const Matrix<float>& x, const AnalysisOptions& options = {}) {
  const std::vector<TensorAnalysis> all = analyze_tensors(MatrixFile(x.view(), "w"), options);
  EXPECT_EQ(all.size(), 1u);
  return all.at(0);
}

const SystemFigures& system_of(const TensorAnalysis& a, const std::string& name) {
  const auto it = std::find_if(a.systems.begin(), a.systems.end(), [&](const auto& s) { return s.name == name; });
  EXPECT_NE(it, a.systems.end()) << name;
  return *it;
}
double saved(const TensorAnalysis& a, const std::string& name) {
  return *a.systems[0].bits - system_of(a, name).bits.value();
}
std::string best(const TensorAnalysis& a) { return a.systems[a.best].name; }

TEST(Analysis, NothingWinsOnIndependentGaussians) {
  const TensorAnalysis a = analyze(normal_matrix(512, 256));
  EXPECT_EQ(best(a), "identity");
  EXPECT_EQ(a.gain, 0);
  EXPECT_NEAR(*a.systems[0].bits, gaussian_rate(a.error), 0.25);
  EXPECT_GT(*a.systems[0].bits, gaussian_rate(a.error));
  for (const SystemFigures& s : a.systems) {
    if (s.side_bits == 0) {
      EXPECT_NEAR(s.kurtosis, 3, 0.1) << s.name;
      EXPECT_NEAR(s.entropy, 3, 0.04) << s.name;
    }
    if (s.bits) {
      EXPECT_GT(*s.bits, *a.systems[0].bits - 0.01) << s.name;
    }
  }
  // A basis that is fitted to noise seems to concentrate it: by the Marchenko-Pastur law, the mean square of the
  // eigenvalues is 1 + cols / rows.
  EXPECT_NEAR(system_of(a, "pca").kurtosis, 3 * (1 + 256.0 / 512), 0.2);
  EXPECT_NEAR(system_of(a, "pca").effective_rank, 256 / (1 + 256.0 / 512), 8);
  EXPECT_NEAR(system_of(a, "pca_columns").kurtosis, 3 * (1 + 512.0 / 256), 0.4);
  EXPECT_NEAR(saved(a, "hadamard"), 0, 0.01);  // at equal errors, a rotation of white noise changes nothing
  EXPECT_NEAR(saved(a, "dct"), 0, 0.01);
  EXPECT_NEAR(saved(a, "rowscale"), -16.0 / 256, 0.02);
  EXPECT_NEAR(saved(a, "center"), -16.0 / 512, 0.01);
  EXPECT_NEAR(system_of(a, "pca(block=16)").side_bits, 16.0 * 16 / 512, 1e-9);
  EXPECT_FALSE(system_of(a, "pca").bits);  // its side information alone takes 16 cols / rows = 8 bits per weight
  EXPECT_NEAR(system_of(a, "pca").side_bits, 8, 1e-9);
  EXPECT_NEAR(system_of(a, "pca_columns").side_bits, 32, 1e-9);
}

TEST(Analysis, LowRankAndNoise) {
  const Matrix<float> left = normal_matrix(512, 8, 2), right = normal_matrix(8, 512, 3, 1 / std::sqrt(8.0));
  Matrix<float> x = normal_matrix(512, 512, 4, 0.15);
  gemm(Op::kNone, Op::kNone, 1.0f, left.view(), right.view(), 1.0f, x.view());
  const TensorAnalysis a = analyze(x);
  EXPECT_EQ(best(a), "lowrank");
  EXPECT_EQ(system_of(a, "lowrank").recipe, "lowrank(rank=8)");
  // The gain is the bits of the whole matrix minus those of the noise at the same error, minus those of the planes.
  const double d = a.error * (1 + 0.15 * 0.15), planes = 8 * 1024 * 5.0 / (512 * 512);
  EXPECT_NEAR(a.gain, gaussian_rate(a.error) - gaussian_rate(d / (0.15 * 0.15)) - planes, 0.3);
  EXPECT_NEAR(system_of(a, "pca").effective_rank, 8, 1);
  EXPECT_NEAR(system_of(a, "pca_columns").effective_rank, 8, 1);
  EXPECT_GT(a.systems[0].effective_rank, 150);
  EXPECT_GT(system_of(a, "pca").coding_gain, 2);
  EXPECT_LT(a.systems[0].coding_gain, 0.2);
}

// Returns a matrix in which every 32nd column is 20 times larger than the others. `variances` receives the variances of
// the columns.
Matrix<float> large_columns(size_t rows, uint64_t seed, std::vector<double>* variances) {
  Matrix<float> x = normal_matrix(rows, 256, seed);
  variances->assign(256, 1.0);
  for (size_t c = 0; c < 256; c += 32) {
    (*variances)[c] = 400;
    for (size_t r = 0; r < rows; ++r) x(r, c) *= 20;
  }
  return x;
}

// Returns the bits that reverse water-filling over the columns saves compared with one Gaussian of their mean variance.
double saved_apart(const std::vector<double>& variances, double error) {
  const double mean = (8 * 400 + 248) / 256.0;
  return gaussian_rate(error) - water_filling_for_distortion(variances, error * mean).rate;
}

// A Hadamard transform spreads a few large columns, and makes the values Gaussian. With entropy coding that loses what
// reverse water-filling gains from columns of different variance.
TEST(Analysis, FlatIsNotCheap) {
  std::vector<double> variances;
  const TensorAnalysis a = analyze(large_columns(1024, 5, &variances));
  const SystemFigures& flat = system_of(a, "hadamard");
  EXPECT_EQ(best(a), "identity");
  EXPECT_GT(a.systems[0].kurtosis, 20);
  EXPECT_NEAR(flat.kurtosis, 3, 0.2);
  EXPECT_LT(flat.max_over_rms, a.systems[0].max_over_rms / 2);
  EXPECT_GT(a.systems[0].top_5, 0.9);
  EXPECT_LT(flat.top_5, 0.35);
  EXPECT_NEAR(-saved(a, "hadamard"), saved_apart(variances, a.error), 0.15);
  EXPECT_GT(saved_apart(variances, a.error), 1);
}

// At a low rate the small columns are rounded to zero, so the same step gives another error than for spread values.
// Without a second coding at another step the bits would be wrong by .5.
TEST(Analysis, ErrorsAreMadeEqual) {
  std::vector<double> variances;
  AnalysisOptions options;
  options.bits = 1.5;
  const TensorAnalysis a = analyze(large_columns(256, 12, &variances), options);
  EXPECT_NEAR(-saved(a, "hadamard"), saved_apart(variances, a.error), 0.15);
}

// The means of the columns only change the frequency tables of the coder, so subtracting them saves only the cost of
// these tables. With one table for all columns it would save half the logarithm of the energy.
TEST(Analysis, CommonMean) {
  Matrix<float> x = normal_matrix(512, 64, 6);
  Rng rng(7);
  for (size_t c = 0; c < x.cols(); ++c) {
    const auto mean = static_cast<float>(3 * rng.normal());
    for (size_t r = 0; r < x.rows(); ++r) x(r, c) += mean;
  }
  double energy = 0;
  for (size_t i = 0; i < x.size(); ++i) energy += double{x.data()[i]} * double{x.data()[i]};
  const TensorAnalysis a = analyze(x);
  EXPECT_EQ(best(a), "center");
  EXPECT_GT(a.gain, 0.05);
  EXPECT_NEAR(system_of(a, "center").kurtosis, 3, 0.1);
  EXPECT_NEAR(a.systems[0].entropy - system_of(a, "center").entropy,
              0.5 * std::log2(energy / static_cast<double>(x.size())), 0.25);
}

// Pieces of rows come from eight Gaussians with different principal axes, which a single basis cannot describe.
TEST(Analysis, LocalAxes) {
  constexpr size_t kClusters = 8, kBlock = 16;
  std::vector<Matrix<double>> bases;
  for (size_t k = 0; k < kClusters; ++k) {
    bases.push_back(normal_matrix<double>(kBlock, kBlock, 20 + k));
    orthonormalize_rows(bases.back().view());
  }
  Matrix<float> x(512, 256);
  Rng rng(8);
  for (size_t p = 0; p < x.size() / kBlock; ++p) {
    const Matrix<double>& basis = bases[rng.below(kClusters)];
    for (size_t i = 0; i < kBlock; ++i) {
      const double y = rng.normal() * (i < 4 ? 10 : 0.5);
      for (size_t j = 0; j < kBlock; ++j) x.data()[p * kBlock + j] += static_cast<float>(y * basis(i, j));
    }
  }
  const TensorAnalysis a = analyze(x);
  EXPECT_EQ(best(a), "local_pca");
  EXPECT_GT(a.gain, 0.3);
  EXPECT_LT(saved(a, "pca(block=16)"), 0.02);
  EXPECT_NEAR(system_of(a, "local_pca").side_bits, 3.0 / kBlock + 16.0 * kClusters * kBlock * kBlock / (512 * 256),
              1e-3);
}

TEST(Analysis, StagesOfItsOwnAreInvertedFromWhatTheyStore) {
  register_analysis_stages();
  const Matrix<float> x = normal_matrix(96, 64, 9, 1, 0.5);
  for (const char* name : {"center", "pca_columns", "local_pca"}) {
    const TransformEntry& entry = *find_transform(name);
    const auto transform = transform_fit(entry)(Params(entry.params, {}, name), x.view(), {});
    Matrix<float> y = x.clone();
    const MatrixView<float> view = y.view();
    const MatrixView<const float> planes[] = {y.view()};
    const Rect all{0, 0, x.rows(), x.cols()};
    transform->forward(all, view, {&view, 1});
    EXPECT_GT(std::fabs(y(0, 0) - x(0, 0)), 1e-3f) << name;
    transform->inverse(all, planes, view);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x.data()[i], y.data()[i], 1e-4) << name << " at " << i;
  }
}

// With second moments of the inputs, the error of the outputs is compared.
TEST(Analysis, MomentsOfTheInputs) {
  auto moments = std::make_shared<Moments>();
  Matrix<double> basis = normal_matrix<double>(64, 64, 10);
  orthonormalize_rows(basis.view());
  Matrix<double> scaled = basis.clone();
  std::vector<double> values(64);
  for (size_t i = 0; i < 64; ++i) {
    values[i] = std::exp(-static_cast<double>(i) / 8);
    for (size_t j = 0; j < 64; ++j) scaled(i, j) *= values[i];
  }
  moments->h = Matrix<double>(64, 64);
  gemm(Op::kTranspose, Op::kNone, 1.0, basis.view(), scaled.view(), 0.0, moments->h.view());
  moments->profile = eigenvalue_profile(values);
  AnalysisOptions options;
  options.moments = [&](const std::string&, size_t cols) { return cols == 64 ? moments : nullptr; };
  const Matrix<float> x = normal_matrix(1024, 64, 11);
  const TensorAnalysis a = analyze(x, options);
  EXPECT_TRUE(a.weighted);
  EXPECT_NEAR(system_of(a, "pca(of=hessian)").side_bits, 1, 1e-9);
  // No code of Gaussian weights takes fewer bits at this error, and error feedback comes close to that limit.
  const double least = weighted_rate(a.error, moments->profile, {});
  EXPECT_LT(least, gaussian_rate(a.error) - 0.5);
  EXPECT_NEAR(*a.systems[0].bits, least, 0.5);
  for (const SystemFigures& s : a.systems) {
    if (s.bits) {
      EXPECT_GT(*s.bits - s.side_bits, least) << s.name;
    }
  }
  options.moments = [](const std::string&, size_t) { return nullptr; };
  EXPECT_THROW(analyze(x, options), Error);
}

TEST(Analysis, DegenerateMatrices) {
  EXPECT_EQ(analyze(Matrix<float>(40, 30)).best, 0u);
  EXPECT_EQ(best(analyze(normal_matrix(3, 5))), "identity");
  EXPECT_EQ(best(analyze(normal_matrix(70, 1))), "identity");
  EXPECT_EQ(best(analyze(normal_matrix(1, 70))), "identity");
  Matrix<float> x = normal_matrix(20, 20);
  x(3, 4) = std::numeric_limits<float>::quiet_NaN();
  try {
    analyze(x);
    ADD_FAILURE() << "NaN passes";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("row 3, column 4"));
  }
  AnalysisOptions options;
  options.tensor = "v*";
  EXPECT_THROW(analyze(normal_matrix(20, 20), options), Error);
}

}  // namespace
}  // namespace occ
