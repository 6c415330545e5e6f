// The codebooks of a product quantizer (Jegou, Douze, Schmid 2011). The columns are divided into subspaces of `width`
// neighbours (the last one may be narrower), and each subspace has k centroids. pq, opq and qet share this class: it
// chooses sizes that fit a budget of bits, fits the centroids, stores them and finds the nearest one.
//
// All centroids are stored, and their bytes count. codebook=f16 stores f16 numbers times one power of two. codebook=rtn
// rounds to codebook_bits bits, with either a bf16 scale for each centroid (symmetric levels) or a middle and a step
// for each column (f32); one scale for all centroids would fail where one of them is an outlier.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/params.h"
#include "occ/matrix.h"
#include "quantization/nearest_centroid.h"
#include "tensor/fit_context.h"
#include "tensor/symbols.h"

namespace occ {

// The parameters that all stages with such codebooks share.
constexpr ParamSpec kBudgetParam = real_param("bits", "4", 0.01, 32, "all bytes of the stage, bits per weight");
constexpr ParamSpec kSubspacesParam = int_param("m", "0", 0, 1 << 24, "subspaces of the columns; 0: from bits");
constexpr ParamSpec kCentroidsParam = int_param("k", "0", 0, 65536, "centroids per subspace; 0: from bits");
constexpr ParamSpec kIterationsParam = int_param("iterations", "20", 1, 10000, "of k-means, at most");
constexpr ParamSpec kCodebookParam = choice_param("codebook", "f16", "f16|rtn", "how centroids are stored");
constexpr ParamSpec kCodebookBitsParam = int_param("codebook_bits", "8", 2, 16, "bits of a number, codebook=rtn");
constexpr ParamSpec kCodebookScaleParam =
    choice_param("codebook_scale", "centroid", "centroid|column", "what shares a scale, codebook=rtn");

struct CodebookFormat {
  explicit CodebookFormat(const Params& params);
  // Returns the bits that all centroids take: k in each of the subspaces of `width` columns into which `cols` columns
  // are divided.
  uint64_t bits(size_t cols, size_t width, size_t k) const;

  bool rtn;
  unsigned rtn_bits;
  bool per_column;
};

struct ProductSizes {
  size_t width = 1;  // number of columns in a subspace
  size_t k = 1;      // number of centroids in a subspace, at most 65,536
  bool operator==(const ProductSizes&) const = default;
};
// Chooses the width and k for a plane of the given shape. Given parameters m and k are kept. The others are chosen such
// that the expected error is least (product_codebook.cc) and `copies` codebooks and all indices together take at most
// `bits` bits per element, minus `reserved` bits in all. If nothing fits, it reports that to the context in the name of
// the stage `owner`. If `value` is not null, it receives roughly how many bits per element the codes are worth, for
// comparisons between budgets; it is negative if nothing fits.
ProductSizes choose_sizes(std::string_view owner, const Params& params, Shape shape, double reserved, size_t copies,
                          const FitContext& context, double* value = nullptr);

class ProductCodebook {
 public:
  ProductCodebook(const Params& params, size_t cols) : format_(params), cols_(cols) {}

  size_t width() const { return sizes_.width; }
  size_t subspaces() const { return cols_ == 0 ? 0 : (cols_ + sizes_.width - 1) / sizes_.width; }
  uint32_t k() const { return static_cast<uint32_t>(sizes_.k); }
  ProductSizes sizes() const { return sizes_; }

  // Fits the centroids to the rows of x [rows, cols], with at most `iterations` steps of k-means in each subspace.
  // weights [cols] and row_weights [rows] are the costs of squared errors in columns and rows; empty: all are 1. With
  // go_on, the fit starts from the present centroids, which must have the same sizes.
  void fit(MatrixView<const float> x, ProductSizes sizes, size_t iterations, uint64_t seed,
           std::span<const float> weights, std::span<const double> row_weights, bool go_on = false);
  // Makes all centroids zero.
  void clear(ProductSizes sizes);
  // Reads what save() wrote. Anything that does not fit is an input error.
  void load(ByteReader& side);
  void save(ByteWriter& out) const;

  // Convert between values [n, columns] and centroid numbers codes [n, subspaces]. The columns are those of the
  // subspaces from number `first` on. Thread-safe.
  void encode(size_t first, MatrixView<const float> x, MatrixView<Symbol> codes) const;
  void decode(size_t first, MatrixView<const Symbol> codes, MatrixView<float> out) const;
  // Returns the centroids [k, columns] of subspace s.
  MatrixView<const float> centroids(size_t s) const { return {centroids_of(s), sizes_.k, columns_of(s)}; }

 private:
  struct Search;  // what encode() needs; made at the first call
  size_t columns_of(size_t s) const { return std::min(sizes_.width, cols_ - s * sizes_.width); }
  const float* centroids_of(size_t s) const { return decoded_.data() + s * sizes_.width * sizes_.k; }
  void store(const std::vector<float>& centroids);
  void decode_stored();
  const Search& search() const;

  CodebookFormat format_;
  size_t cols_;
  ProductSizes sizes_;
  // The stored numbers of all centroids, by subspace, centroid and column: f16 bit patterns, or rounded integers.
  std::vector<uint16_t> codes_;
  float scale_ = 1;            // codebook=f16: the common power of two
  std::vector<float> scales_;  // codebook=rtn: scale of each centroid, or step of each column
  // codebook=rtn with a step per column: middle of the levels of each column.
  std::vector<float> middles_;
  std::vector<float> decoded_;      // the decoded centroids in the same order
  std::vector<float> weights_;      // weights of the columns; encoder only
  std::shared_ptr<Search> search_;  // replaced when the centroids change
};

}  // namespace occ
