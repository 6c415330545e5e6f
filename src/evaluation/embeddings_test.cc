#include "evaluation/embeddings.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "base/rng.h"
#include "occ/error.h"
#include "test_data.h"

namespace occ {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(Embeddings, SpearmanIsTheCorrelationOfRanks) {
  const std::vector<double> a = {1, 2, 3, 4}, b = {10, 30, 20, 40}, down = {9, 7, 5, 3}, flat = {1, 1, 1, 1};
  EXPECT_NEAR(spearman(a, b), 0.8, 1e-12);  // 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 0, 1, 1, 0
  EXPECT_NEAR(spearman(a, down), -1, 1e-12);
  EXPECT_TRUE(std::isnan(spearman(a, flat)));
  // With ties the ranks are 1, 2.5, 2.5, 4.
  const std::vector<double> tied = {1, 5, 5, 7};
  EXPECT_NEAR(spearman(a, tied), 4.5 / std::sqrt(5 * 4.5), 1e-12);
  // An increasing function of the values keeps the ranks and so the correlation.
  const std::vector<double> curved = {std::exp(1.0), std::exp(3.0), std::exp(2.0), std::exp(4.0)};
  EXPECT_NEAR(spearman(a, curved), 0.8, 1e-12);
}

TEST(Embeddings, Cosines) {
  Matrix<float> a(3, 2), b(3, 2);
  a(0, 0) = 2, b(0, 0) = 5;               // parallel
  a(1, 0) = 1, b(1, 0) = 1, b(1, 1) = 1;  // 45 degrees
  b(2, 0) = 1;                            // a zero row
  EXPECT_THAT(row_cosines(a.view(), b.view()),
              ElementsAre(testing::DoubleNear(1, 1e-12), testing::DoubleNear(std::sqrt(0.5), 1e-12), 0));
}

TEST(Embeddings, PairsFromTabsAndFromLines) {
  const TempFolder folder;
  std::ofstream(folder / "p") << "a\tb\r\nc\td\n";
  EXPECT_THAT(read_pairs(folder / "p"), ElementsAre(Pair("a", "b"), Pair("c", "d")));
  std::ofstream(folder / "l") << "one\ntwo\nthree\n";
  EXPECT_THAT(read_pairs(folder / "l"), ElementsAre(Pair("one", "two"), Pair("two", "three")));
  std::ofstream(folder / "e") << "one\n";
  EXPECT_THROW(read_pairs(folder / "e"), Error);
  EXPECT_THROW(read_pairs(folder / "missing"), Error);
}

TEST(Embeddings, LabelledTexts) {
  const TempFolder folder;
  std::ofstream(folder / "t") << "0 a bad film\n\n12\ta good one\n";
  const LabelledTexts t = read_labelled(folder / "t");
  EXPECT_THAT(t.labels, ElementsAre(0u, 12u));
  EXPECT_THAT(t.texts, ElementsAre("a bad film", "a good one"));
  for (const char* bad : {"good film\n", "-1 film\n", "1000 film\n", "3\n", "0.5 film\n", ""}) {
    std::ofstream(folder / "bad") << bad;
    EXPECT_THROW(read_labelled(folder / "bad"), Error) << bad;
  }
}

// Two classes have normal distributions around m and -m. The best possible classifier is right with probability
// Phi(|m|).
TEST(Embeddings, ProbeReachesTheBayesAccuracy) {
  constexpr size_t kDim = 12, kTrain = 4000, kTest = 4000;
  Rng rng(11);
  const auto draw = [&](Matrix<float>* x, std::vector<size_t>* labels) {
    for (size_t r = 0; r < x->rows(); ++r) {
      labels->push_back(rng.below(2));
      for (size_t c = 0; c < kDim; ++c) {
        const double mean = (labels->back() != 0 ? 1 : -1) * 1.0 / std::sqrt(static_cast<double>(kDim));
        (*x)(r, c) = static_cast<float>(100 + 30 * (mean + rng.normal()));  // offset and scale must not matter
      }
    }
  };
  Matrix<float> train(kTrain, kDim), test(kTest, kDim);
  std::vector<size_t> train_labels, test_labels;
  draw(&train, &train_labels);
  draw(&test, &test_labels);
  const Mean acc = probe_accuracy(train.view(), train_labels, test.view(), test_labels);
  const double bayes = 0.5 * std::erfc(-1 / std::sqrt(2.0));  // .8413
  EXPECT_NEAR(acc.mean, bayes, 3 * 0.0058 + 0.005);
  EXPECT_NEAR(acc.standard_error, std::sqrt(bayes * (1 - bayes) / kTest), 0.0005);
}

TEST(Embeddings, ProbeOfThreeClassesAndConstantFeatures) {
  Rng rng(5);
  Matrix<float> x(300, 4);
  std::vector<size_t> labels;
  for (size_t r = 0; r < x.rows(); ++r) {
    labels.push_back(r % 3);
    for (size_t c = 0; c < 3; ++c) x(r, c) = static_cast<float>((c == r % 3 ? 5 : 0) + rng.normal());
    x(r, 3) = 7;
  }
  EXPECT_GT(probe_accuracy(x.view(), labels, x.view(), labels).mean, 0.98);
}

}  // namespace
}  // namespace occ
