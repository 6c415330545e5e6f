// Codebooks of a product quantizer (Jegou, Douze, Schmid 2011): columns are cut into subspaces of `width` neighbours
// (the last one may be narrower), each with k centroids. Shared by pq, opq and qet: sizes from a budget, fit, storage,
// search.
//
// All centroids are stored and charged. codebook=f16: f16 numbers times one power of two. codebook=rtn: rounded to
// codebook_bits bits, with a scale per centroid (bf16, symmetric levels) or a middle and a step per column (f32);
// one scale for all would fail where a centroid is an outlier.
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

// The parameters that stages with such codebooks share.
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
  // Stored bits of k centroids over cols columns in subspaces of `width`.
  uint64_t bits(size_t cols, size_t width, size_t k) const;

  bool rtn;
  unsigned rtn_bits;
  bool per_column;
};

struct ProductSizes {
  size_t width = 1;  // columns of a subspace
  size_t k = 1;
  bool operator==(const ProductSizes&) const = default;
};
// m and k as far as they are given, the others such that codebook and indices take at most params "bits" times the
// elements, less `reserved` bits: those that promise the least error (product_codebook.cc). There are `copies` of the
// codebook. `owner` names the stage in what is reported. `value`, if given: about the bits per weight that the codes
// are worth, to compare budgets with; negative if nothing fits.
ProductSizes choose_sizes(std::string_view owner, const Params& params, Shape shape, double reserved, size_t copies,
                          const FitContext& context, double* value = nullptr);

class ProductCodebook {
 public:
  ProductCodebook(const Params& params, size_t cols) : format_(params), cols_(cols) {}

  size_t width() const { return sizes_.width; }
  size_t subspaces() const { return cols_ == 0 ? 0 : (cols_ + sizes_.width - 1) / sizes_.width; }
  uint32_t k() const { return static_cast<uint32_t>(sizes_.k); }
  ProductSizes sizes() const { return sizes_; }

  // Fits to the rows of x [rows, cols]. weights [cols] of squared errors, row_weights [rows]; empty: ones. `go_on`:
  // from the centroids that it has, of the same sizes.
  void fit(MatrixView<const float> x, ProductSizes sizes, size_t iterations, uint64_t seed,
           std::span<const float> weights, std::span<const double> row_weights, bool go_on = false);
  // Zeros of that size.
  void clear(ProductSizes sizes);
  void load(ByteReader& side);
  void save(ByteWriter& out) const;

  // x: rows of values, their columns those of the subspaces from `first` on; codes [rows, subspaces].
  void encode(size_t first, MatrixView<const float> x, MatrixView<Symbol> codes) const;
  void decode(size_t first, MatrixView<const Symbol> codes, MatrixView<float> out) const;

 private:
  struct Search;  // what encode needs, filled when first asked for
  size_t columns_of(size_t s) const { return std::min(sizes_.width, cols_ - s * sizes_.width); }
  const float* centroids_of(size_t s) const { return decoded_.data() + s * sizes_.width * sizes_.k; }
  void store(const std::vector<float>& centroids);
  void decode_stored();
  const Search& search() const;

  CodebookFormat format_;
  size_t cols_;
  ProductSizes sizes_;
  // As stored, by subspace, centroid, column: f16 bits, or rounded numbers.
  std::vector<uint16_t> codes_;
  float scale_ = 1;             // f16: a power of two
  std::vector<float> scales_;   // rtn: by subspace and centroid, or by column
  std::vector<float> middles_;  // rtn by column: of the levels
  std::vector<float> decoded_;
  std::vector<float> weights_;      // of an encoder
  std::shared_ptr<Search> search_;  // made anew with the centroids
};

}  // namespace occ
