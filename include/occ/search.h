// Nearest neighbours among the rows of archives (or of any other tensor file), from their codes. Needs the library
// occ::decode, and index_vectors the library occ::encode.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "occ/compress.h"
#include "occ/error.h"
#include "occ/matrix.h"

namespace occ {

// What is near. The figures of kL2 are smaller, the others larger for nearer vectors.
enum class Metric {
  kL2,            // squared Euclidean distance |q - x|^2
  kInnerProduct,  // <q, x>
  kCosine         // <q, x> / (|q| |x|), 0 if one of them is zero
};

// The nearest rows of every query, the nearest one first; of equally near rows, the one with the smaller number first.
struct Neighbours {
  Matrix<uint64_t> ids;     // [queries, min(k, vectors)] numbers of rows, counted through all files of the index
  Matrix<float> distances;  // of the same shape: figures of the metric
};

// Vectors that can be searched. May be used from several threads at once.
class VectorIndex {
 public:
  // Opens files whose tensors are matrices with rows of one length, usually one archive with one matrix. The codes of
  // product quantizers (pq, opq, lopq) are loaded and searched as they are; other codes are decoded tile by tile in
  // every search. Input error that names the file and the tensor if a tensor is no matrix, is empty, or has rows of
  // another length than the first.
  static VectorIndex open(const std::vector<std::filesystem::path>& paths);
  VectorIndex(VectorIndex&&) noexcept;
  VectorIndex& operator=(VectorIndex&&) noexcept;
  ~VectorIndex();

  size_t size() const;                     // number of vectors
  size_t dimension() const;                // length of a vector
  uint64_t resident_bytes() const;         // of the codes that are held in memory
  std::vector<std::string> kinds() const;  // of each matrix: how it is searched, such as "16 codes of 4 bits"

  // Finds the k nearest rows of each query [queries, dimension()]. The distances are those to the decoded vectors. Usage
  // error for k = 0 and for no queries; input error for queries of another length or with values that are not finite.
  Neighbours search(MatrixView<const float> queries, size_t k, Metric metric = Metric::kL2) const;
  // Finds the k nearest of the candidates of each query, by the vectors of this index: of the originals, for instance,
  // with candidates found in an index of their codes. Usage error for a candidate that this index does not have.
  Neighbours rerank(MatrixView<const float> queries, const Neighbours& candidates, size_t k,
                    Metric metric = Metric::kL2) const;
  // Copies row ids[i] to row i of out [ids.size(), dimension()]. Usage error for a row that the index does not have.
  void read(std::span<const uint64_t> ids, MatrixView<float> out) const;

 private:
  struct Parts;
  explicit VectorIndex(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Returns the share of the first k true neighbours [queries, at least k columns] that are among the first k found ones,
// as a mean over all queries. Fewer than k columns in `found` or `truth` count as all that there are in `truth`. Usage
// error if the numbers of queries differ or if there is nothing to compare.
double recall(MatrixView<const uint64_t> found, MatrixView<const uint64_t> truth, size_t k);

constexpr double kIndexBits = 2;  // bits per value of index_vectors where nothing is asked for

// Makes an archive of `input`, a file with one matrix [vectors, dimension] of floats or integers, that is meant to be
// searched. It is compress_file with two differences: the matrix is coded whatever its type, size and name are, and with
// the methods pq, opq and lopq options.bits are those of the codes per value, with codebooks on top, as is usual for
// vectors: the method has 256 centroids per subspace, as many subspaces as the bits allow, and full rotations, unless its
// parameters say otherwise. With options.codebooks the recipe is that of this archive. Input error if the file holds anything else.
// `bytes` per vector may stand in place of the bits: 8 bytes / dimension bits per value. Usage error for both.
CompressReport index_vectors(const std::filesystem::path& input, const std::filesystem::path& output,
                             CompressOptions options, std::optional<double> bytes = std::nullopt);

}  // namespace occ
