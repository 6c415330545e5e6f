// Searches against brute force in double over the decoded vectors.
#include "occ/search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/normal_matrix_for_test.h"
#include "base/rng.h"
#include "container/archive_file.h"
#include "io/expect_error_for_test.h"
#include "io/for_test.h"
#include "search/table_kernels.h"
#include "search/top_k.h"
#include "simd/for_each_target_for_test.h"
#include "test_data.h"

namespace occ {
namespace {

constexpr Metric kMetrics[] = {Metric::kL2, Metric::kInnerProduct, Metric::kCosine};

void write_fvecs(const std::filesystem::path& path, MatrixView<const float> x) {
  std::ofstream out(path, std::ios::binary);
  for (size_t r = 0; r < x.rows(); ++r) {
    const auto d = static_cast<int32_t>(x.cols());
    out.write(reinterpret_cast<const char*>(&d), sizeof d);
    out.write(reinterpret_cast<const char*>(x.row(r)), static_cast<std::streamsize>(x.cols() * sizeof(float)));
  }
}

// Rows around a few centres, so that neighbours are near.
Matrix<float> clustered(size_t rows, size_t cols, uint64_t seed) {
  Matrix<float> x = normal_matrix(rows, cols, seed);
  const Matrix<float> centres = normal_matrix(7, cols, 1234, 2, 0.5);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) x(r, c) += centres(r % 7, c);
  }
  return x;
}

double figure(const float* q, const float* x, size_t n, Metric metric) {
  double difference = 0, product = 0, qq = 0, xx = 0;
  for (size_t i = 0; i < n; ++i) {
    const double a = double{q[i]}, b = double{x[i]};
    difference += (a - b) * (a - b);
    product += a * b;
    qq += a * a;
    xx += b * b;
  }
  if (metric == Metric::kL2) return difference;
  return metric == Metric::kInnerProduct ? product : qq == 0 || xx == 0 ? 0 : product / std::sqrt(qq * xx);
}

// Expects the k best figures, in order, each of them that of its row. Tables are sums in f32 in rotated coordinates,
// whose rotation is rounded to f16: `tolerance` is relative to the largest figure.
void expect_brute_force(const VectorIndex& index, MatrixView<const float> queries, size_t k, Metric metric,
                        double tolerance) {
  std::vector<uint64_t> all(index.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  Matrix<float> x(index.size(), index.dimension());
  index.read(all, x.view());
  const Neighbours found = index.search(queries, k, metric);
  ASSERT_EQ(found.ids.shape(), (Shape{queries.rows(), std::min(k, index.size())}));
  ASSERT_EQ(found.distances.shape(), found.ids.shape());
  for (size_t q = 0; q < queries.rows(); ++q) {
    std::vector<double> figures;
    double largest = 0;
    for (size_t r = 0; r < x.rows(); ++r) {
      figures.push_back(figure(queries.row(q), x.row(r), x.cols(), metric));
      largest = std::max(largest, std::abs(figures.back()));
    }
    std::vector<double> sorted = figures;
    std::sort(sorted.begin(), sorted.end());
    if (metric != Metric::kL2) std::reverse(sorted.begin(), sorted.end());
    std::vector<uint64_t> ids(found.ids.row(q), found.ids.row(q) + found.ids.cols());
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_LT(ids[i], x.rows());
      ASSERT_NEAR(found.distances(q, i), sorted[i], tolerance * largest) << "query " << q << ", place " << i;
      ASSERT_NEAR(figures[ids[i]], sorted[i], tolerance * largest) << "query " << q << ", place " << i;
    }
    std::sort(ids.begin(), ids.end());
    ASSERT_EQ(std::unique(ids.begin(), ids.end()), ids.end()) << "query " << q;
  }
}

VectorIndex indexed(const TempFolder& folder, MatrixView<const float> x, const std::string& method, double bits) {
  write_fvecs(folder / "x.fvecs", x);
  CompressOptions options;
  options.method = method;
  options.bits = bits;
  options.force = true;
  options.sync = false;
  options.effort = 1;
  index_vectors(folder / "x.fvecs", folder / "x.occ", options);
  return VectorIndex::open({folder / "x.occ"});
}

TEST(Search, EqualsBruteForceOverDecodedVectors) {
  struct Case {
    const char* method;
    double bits;
    size_t rows, cols;
    const char* kind;
  };
  const Case cases[] = {
      {"pq", 2, 900, 24, "6 codes of 8 bits"},
      {"pq(k=16)", 1, 700, 37, "8 codes of 4 bits"},
      {"pq(k=16, iterations=2)", 2, 333, 7, "3 codes of 4 bits"},
      {"pq(m=5, k=300, iterations=2)", 1, 900, 20, "5 codes of 16 bits"},
      {"opq(k=16, rounds=2)", 1, 600, 32, "8 codes of 4 bits"},
      {"opq(rounds=2, iterations=3)", 1, 800, 24, "3 codes of 8 bits"},
      {"lopq(clusters=3, k=16, rounds=1)", 1, 700, 24, "6 codes of 4 bits, 3 clusters"},
      {"lopq(clusters=3, rounds=1, iterations=3)", 1, 900, 16, "2 codes of 8 bits, 3 clusters"},
      {"qet", 4, 512, 32, nullptr},
      {"pcdvq", 2, 300, 64, "decoded by tile"},
      {"turbo", 2, 300, 50, "decoded by tile"},
      {"cpq", 2, 300, 48, "decoded by tile"},
      {"cpq(keep=product)", 2, 300, 48, "decoded by tile"},
      {"auto", 3, 400, 40, "decoded by tile"},
      {"rtn", 4, 200, 33, "decoded by tile"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.method);
    const TempFolder folder;
    const VectorIndex index = indexed(folder, clustered(c.rows, c.cols, 5).view(), c.method, c.bits);
    ASSERT_EQ(index.size(), c.rows);
    ASSERT_EQ(index.dimension(), c.cols);
    if (c.kind != nullptr) {
      EXPECT_EQ(index.kinds(), std::vector<std::string>{c.kind});
    }
    for (const Metric metric : kMetrics) {
      SCOPED_TRACE(static_cast<int>(metric));
      expect_brute_force(index, clustered(13, c.cols, 6).view(), 10, metric, 3e-4);
      expect_brute_force(index, clustered(1, c.cols, 7).view(), 1, metric, 3e-4);
    }
    expect_brute_force(index, clustered(2, c.cols, 8).view(), c.rows + 5, Metric::kL2, 3e-4);  // k > n
  }
}

// Rounding of sums grows with the dimension, and prunes nothing that is near.
TEST(Search, FindsEqualVectorsOfManyDimensions) {
  const TempFolder folder;
  constexpr size_t kPairs = 16, kDimension = 65536;
  Matrix<float> x(2 * kPairs, kDimension), queries(kPairs, kDimension);
  Rng rng(3);
  for (size_t p = 0; p < kPairs; ++p) {
    const auto level = static_cast<float>(0.5 + rng.uniform());
    std::fill_n(x.row(2 * p), 2 * kDimension, level);
    x(2 * p, 5) += 0.001f;
    std::fill_n(queries.row(p), kDimension, level);
  }
  write_fvecs(folder / "x.fvecs", x.view());
  const Neighbours found = VectorIndex::open({folder / "x.fvecs"}).search(queries.view(), 1);
  for (size_t p = 0; p < kPairs; ++p) EXPECT_EQ(found.ids(p, 0), 2 * p + 1);
}

TEST(Search, CosinesOfTinyAndHugeVectors) {
  for (const double scale : {1e-23, 1e25}) {
    const TempFolder folder;
    const Matrix<float> x = normal_matrix(20, 8, 4, scale);
    write_fvecs(folder / "x.fvecs", x.view());
    const Neighbours found = VectorIndex::open({folder / "x.fvecs"}).search(x.view(), 1, Metric::kCosine);
    for (size_t r = 0; r < x.rows(); ++r) {
      EXPECT_EQ(found.ids(r, 0), r) << scale;
      EXPECT_NEAR(found.distances(r, 0), 1, 1e-6) << scale;
    }
  }
}

// A search for a few neighbours prunes by sums of bytes; a search for all rows ranks all of them by sums of floats.
TEST(Search, QueriesFarFromAllRowsLoseNoNeighbour) {
  const TempFolder a, b;
  indexed(a, clustered(2000, 24, 5).view(), "pq(k=16)", 1);
  indexed(b, clustered(2000, 24, 6).view(), "pq(k=16)", 1);
  const VectorIndex index = VectorIndex::open({a / "x.occ", b / "x.occ"});
  const Matrix<float> queries = normal_matrix(60, 24, 9, 1e6);
  const Neighbours few = index.search(queries.view(), 5), all = index.search(queries.view(), index.size());
  for (size_t q = 0; q < queries.rows(); ++q) {
    for (size_t i = 0; i < 5; ++i) EXPECT_EQ(few.distances(q, i), all.distances(q, i)) << "query " << q;
  }
}

TEST(Search, TheSameNeighboursOnEverySimdTargetAndNumberOfQueries) {
  const TempFolder folder;
  const VectorIndex index = indexed(folder, clustered(3000, 20, 5).view(), "pq(k=16, iterations=4)", 2);
  const Matrix<float> queries = clustered(11, 20, 6);
  const Neighbours all = index.search(queries.view(), 10);
  for_each_simd_target([&] {
    expect_brute_force(index, queries.view(), 10, Metric::kL2, 1e-5);
    for (size_t q = 0; q < queries.rows(); ++q) {
      const Neighbours one = index.search(queries.view().row_range(q, 1), 10);
      for (size_t i = 0; i < 10; ++i) {
        ASSERT_NEAR(one.distances(0, i), all.distances(q, i), 1e-5 * all.distances(q, i)) << q;
      }
    }
  });
}

TEST(Search, NibbleSumsAreThoseOfTheTables) {
  for_each_simd_target([] {
    for (const size_t subspaces : {4, 8, 12, 64, 256}) {
      Rng rng(subspaces);
      const size_t rows = 77;
      std::vector<uint8_t> codes(3 * subspaces * 16), tables(4 * subspaces * 16);
      for (uint8_t& c : codes) c = static_cast<uint8_t>(rng.below(256));
      for (uint8_t& t : tables) t = static_cast<uint8_t>(subspaces == 256 ? 255 : rng.below(256));
      for (size_t queries = 1; queries <= kQueriesTogether; ++queries) {
        std::vector<BoundedRows> found(queries, BoundedRows(rows, 0, 65535));
        const uint8_t* at[kQueriesTogether];
        BoundedRows* to[kQueriesTogether];
        for (size_t q = 0; q < queries; ++q) at[q] = tables.data() + q * subspaces * 16, to[q] = &found[q];
        scan_nibbles(codes.data(), subspaces, rows, 1000, at, to, queries);
        for (size_t q = 0; q < queries; ++q) {
          ASSERT_EQ(found[q].finish().size(), rows);
          for (const auto& [sum, number] : found[q].finish()) {
            const size_t r = number - 1000;
            uint32_t expected = 0;
            for (size_t s = 0; s < subspaces; ++s) {
              const uint8_t pair = codes[(r / 32 * subspaces + s) * 16 + r % 16];
              expected += at[q][s * 16 + (r % 32 < 16 ? pair & 15 : pair >> 4)];
            }
            ASSERT_EQ(sum, expected) << subspaces << " subspaces, query " << q << ", row " << r;
          }
        }
      }
    }
  });
}

TEST(Search, BoundedRowsKeepEveryRowThatMayBeNear) {
  constexpr size_t k = 5, kSlack = 9, kRows = 5000;
  Rng rng(3);
  BoundedRows found(k, kSlack, 65535);
  std::vector<uint16_t> sums;
  for (uint32_t r = 0; r < kRows; ++r) {
    sums.push_back(static_cast<uint16_t>(rng.below(1000)));
    if (sums.back() <= found.limit()) found.add(sums.back(), r);
  }
  std::vector<uint16_t> sorted = sums;
  std::sort(sorted.begin(), sorted.end());
  size_t expected = 0;
  for (const uint16_t s : sums) expected += s <= sorted[k - 1] + kSlack;
  EXPECT_EQ(found.finish().size(), expected);
}

TEST(Search, EqualRowsComeInTheirOrder) {
  TopK best(3);
  for (const uint64_t id : {9, 4, 7, 1, 8}) best.push(1.0f, id);
  best.push(std::nanf(""), 0);
  best.push(0.5f, 6);
  const auto entries = best.sorted();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].second, 6u);
  EXPECT_EQ(entries[1].second, 1u);
  EXPECT_EQ(entries[2].second, 4u);
}

TEST(Search, IntegersAreIndexedAsReals) {
  const TempFolder folder;
  std::ofstream out(folder / "v.bvecs", std::ios::binary);
  Rng rng(1);
  for (size_t r = 0; r < 600; ++r) {
    const int32_t d = 8;
    out.write(reinterpret_cast<const char*>(&d), sizeof d);
    for (int c = 0; c < d; ++c) out.put(static_cast<char>(rng.below(256)));
  }
  out.close();
  CompressOptions options;
  options.method = "pq(k=16)";
  options.bits = 2;
  const CompressReport report = index_vectors(folder / "v.bvecs", folder / "v.occ", options);
  EXPECT_NE(report.tensors[0].recipe, "");
  const VectorIndex index = VectorIndex::open({folder / "v.occ"});
  EXPECT_EQ(index.kinds()[0], "4 codes of 4 bits");
  expect_brute_force(index, normal_matrix(5, 8, 3, 60, 120).view(), 10, Metric::kL2, 1e-5);
  // The file itself is searched exactly: a vector is its own neighbour.
  const VectorIndex exact = VectorIndex::open({folder / "v.bvecs"});
  Matrix<float> own(3, 8);
  const uint64_t ids[] = {5, 599, 0};
  exact.read(ids, own.view());
  const Neighbours found = exact.search(own.view(), 2);
  for (size_t q = 0; q < 3; ++q) {
    EXPECT_EQ(found.distances(q, 0), 0);
    Matrix<float> x(1, 8);
    exact.read({found.ids.row(q), 1}, x.view());
    for (size_t c = 0; c < 8; ++c) EXPECT_EQ(x(0, c), own(q, c));
  }
}

TEST(Search, SeveralFilesCountOnAndCandidatesAreRanked) {
  const TempFolder folder;
  const Matrix<float> x = clustered(1000, 16, 5), queries = clustered(20, 16, 6);
  write_fvecs(folder / "all.fvecs", x.view());
  indexed(folder, x.view().row_range(0, 700), "pq", 1);
  std::filesystem::rename(folder / "x.occ", folder / "a.occ");
  indexed(folder, x.view().row_range(700, 300), "rtn", 4);
  const VectorIndex index = VectorIndex::open({folder / "a.occ", folder / "x.occ"});
  ASSERT_EQ(index.size(), 1000u);
  for (const Metric metric : kMetrics) expect_brute_force(index, queries.view(), 30, metric, 1e-4);
  const VectorIndex originals = VectorIndex::open({folder / "all.fvecs"});
  const Neighbours best = originals.search(queries.view(), 10);
  const Neighbours candidates = index.search(queries.view(), 100);
  const Neighbours ranked = originals.rerank(queries.view(), candidates, 10);
  const double before = recall(candidates.ids.view(), best.ids.view(), 10);
  const double after = recall(ranked.ids.view(), best.ids.view(), 10);
  EXPECT_GT(before, 0.1);
  EXPECT_LT(before, 0.9);
  EXPECT_GT(after, before + 0.1);
  EXPECT_EQ(originals.rerank(queries.view(), best, 10).distances(0, 0), best.distances(0, 0));
}

TEST(Search, CodebooksOfOneTableCodeAnother) {
  const TempFolder folder;
  const Matrix<float> x = clustered(2000, 16, 5);
  for (const char* method : {"pq(k=16)", "opq(k=16, rounds=1)", "lopq(k=16, clusters=2, rounds=1)"}) {
    SCOPED_TRACE(method);
    indexed(folder, x.view(), method, 2);
    // The same vectors get the same codes, whichever of them come together.
    write_fvecs(folder / "half.fvecs", x.view().row_range(300, 900));
    CompressOptions options;
    options.codebooks = folder / "x.occ";
    options.force = true;
    options.sync = false;
    const CompressReport report = index_vectors(folder / "half.fvecs", folder / "half.occ", options);
    ASSERT_NE(report.tensors[0].recipe, "");
    const VectorIndex all = VectorIndex::open({folder / "x.occ"}), half = VectorIndex::open({folder / "half.occ"});
    for (const uint64_t r : {0, 17, 899}) {
      Matrix<float> a(1, 16), b(1, 16);
      const uint64_t there = r + 300;
      half.read({&r, 1}, a.view());
      all.read({&there, 1}, b.view());
      for (size_t c = 0; c < 16; ++c) ASSERT_EQ(a(0, c), b(0, c)) << "row " << r;
    }
  }
  CompressOptions options;
  options.codebooks = folder / "x.occ";
  write_fvecs(folder / "wide.fvecs", clustered(900, 17, 1).view());
  EXPECT_OCC_ERROR(index_vectors(folder / "wide.fvecs", folder / "y.occ", options), ErrorKind::kInput, "dimension 17");
  indexed(folder, x.view(), "turbo", 2);
  EXPECT_OCC_ERROR(index_vectors(folder / "half.fvecs", folder / "y.occ", options), ErrorKind::kInput, "x.occ");
}

TEST(Search, RecallCountsTheFirstK) {
  Matrix<uint64_t> found(1, 4), truth(1, 3);
  for (size_t i = 0; i < 4; ++i) found(0, i) = i;  // 0 1 2 3
  truth(0, 0) = 3, truth(0, 1) = 1, truth(0, 2) = 9;
  EXPECT_DOUBLE_EQ(recall(found.view(), truth.view(), 2), 0.5);      // 1 of {3, 1} in {0, 1}
  EXPECT_DOUBLE_EQ(recall(found.view(), truth.view(), 4), 2.0 / 3);  // of {3, 1, 9} in {0, 1, 2, 3}
  EXPECT_OCC_ERROR(recall(found.view(), Matrix<uint64_t>(2, 3).view(), 2), ErrorKind::kUsage, "queries");
}

TEST(Search, RefusesWhatIsNoIndexOrNoQuery) {
  const TempFolder folder;
  const VectorIndex index = indexed(folder, clustered(300, 16, 5).view(), "pq(k=16)", 1);
  const Matrix<float> queries = clustered(2, 16, 6);
  EXPECT_OCC_ERROR(index.search(queries.view(), 0), ErrorKind::kUsage, "at least 1 neighbour");
  EXPECT_OCC_ERROR(index.search({queries.data(), 0, 16}, 1), ErrorKind::kUsage, "queries");
  EXPECT_OCC_ERROR(index.search({queries.data(), 2, 15}, 1), ErrorKind::kInput, "expected dimension 16");
  Matrix<float> bad = queries.clone();
  bad(1, 3) = std::nanf("");
  EXPECT_OCC_ERROR(index.search(bad.view(), 1), ErrorKind::kInput, "row 1");
  Matrix<float> row(1, 16);
  const uint64_t beyond[] = {300};
  EXPECT_OCC_ERROR(index.read(beyond, row.view()), ErrorKind::kUsage, "below 300");
  EXPECT_OCC_ERROR(VectorIndex::open({}), ErrorKind::kUsage, "at least one file");
  write_fvecs(folder / "wide.fvecs", clustered(3, 17, 1).view());
  EXPECT_OCC_ERROR(VectorIndex::open({folder / "x.occ", folder / "wide.fvecs"}), ErrorKind::kInput, "wide.fvecs");
  CompressOptions both;
  both.bits = 1;
  EXPECT_OCC_ERROR(index_vectors(folder / "x.fvecs", folder / "y.occ", both, 8), ErrorKind::kUsage, "bytes");
  both.bits = -5;
  EXPECT_OCC_ERROR(index_vectors(folder / "x.fvecs", folder / "y.occ", both), ErrorKind::kUsage, "bits");
}

TEST(Search, DamagedArchivesAreErrors) {
  const TempFolder folder;
  indexed(folder, clustered(500, 16, 5).view(), "opq(k=16, rounds=1)", 1);
  const std::string bytes = get_bytes_for_test(folder / "x.occ");
  const Matrix<float> queries = clustered(2, 16, 6);
  size_t refused = 0, tried = 0;
  for (size_t at = 16; at < bytes.size(); at += 1 + bytes.size() / 60, ++tried) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    put_bytes_for_test(folder / "damaged.occ", damaged);
    try {
      const VectorIndex index = VectorIndex::open({folder / "damaged.occ"});
      index.search(queries.view(), 5);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput) << e.what();
      EXPECT_NE(std::string(e.what()).find("damaged.occ"), std::string::npos) << e.what();
      ++refused;
    }
  }
  EXPECT_GE(refused, tried - 2);  // bytes of padding may differ
}

TEST(Search, RecallOnSift) {
  OCC_REQUIRE_DATA(base, "vectors/sift5k_base4500.fvecs");
  const TempFolder folder;
  CompressOptions options;
  options.method = "opq(k=16, rounds=3)";
  options.sync = false;
  index_vectors(base, folder / "x.occ", options, 16);
  const VectorIndex index = VectorIndex::open({folder / "x.occ"});
  const VectorIndex queries = VectorIndex::open({test_data_folder() / "vectors/sift5k_query500.fvecs"});
  const VectorIndex originals = VectorIndex::open({base});
  std::vector<uint64_t> ids(queries.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = i;
  Matrix<float> q(queries.size(), queries.dimension());
  queries.read(ids, q.view());
  const auto truth_file = open_any(test_data_folder() / "vectors/sift5k_gt100_l2.ivecs");
  std::vector<int32_t> numbers(truth_file->tensors()[0].elements());
  truth_file->read_raw(0, 0, numbers.size(), numbers.data());
  Matrix<uint64_t> truth(500, 100);
  for (size_t i = 0; i < numbers.size(); ++i) truth.data()[i] = static_cast<uint64_t>(numbers[i]);
  EXPECT_GT(recall(originals.search(q.view(), 10).ids.view(), truth.view(), 10), 0.999);
  const double found = recall(index.search(q.view(), 10).ids.view(), truth.view(), 10);
  EXPECT_GT(found, 0.55);
  EXPECT_LT(found, 0.75);
}

}  // namespace
}  // namespace occ
