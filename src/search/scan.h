// A scan compares queries with all rows of one matrix. There are two: one works on the codes of product quantizers, the
// other decodes rows tile by tile and takes every tensor of every file.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "occ/matrix.h"
#include "occ/search.h"
#include "recipe/bound.h"
#include "search/top_k.h"
#include "tensor/tensor_file.h"

namespace occ {

class Scan {
 public:
  virtual ~Scan() = default;
  // Pushes rows to best[i] for query i, under the ids first_id + row. It may leave out rows that are not among the k
  // nearest. Costs: the squared distance, minus the inner product, or minus the cosine. Thread-safe.
  virtual void search(MatrixView<const float> queries, Metric metric, uint64_t first_id,
                      std::span<TopK> best) const = 0;
  virtual uint64_t resident_bytes() const = 0;
  virtual std::string kind() const = 0;
};

// Rows of tensor `index` of `file`, which must outlive the scan. A tile of rows is decoded once for all queries.
// Distances are differences of vectors, not of squares, so that those of close vectors are exact.
std::unique_ptr<Scan> make_decoded_scan(const TensorFile& file, size_t index);

// Rows of a loaded recipe with product_codes() (recipe/bound.h). Its codes and codebooks are copied.
std::unique_ptr<Scan> make_table_scan(const BoundRecipe& recipe);

// The cost of row x for query q, both of `n` values.
float cost_of(const float* q, const float* x, size_t n, Metric metric);
// Sum of (q_i - x_i)^2, of q_i x_i.
float squared_distance(const float* q, const float* x, size_t n);
float inner_product(const float* q, const float* x, size_t n);
// The cosine for an inner product and two squared norms.
float cosine_of(float product, float q_square, float x_square);

}  // namespace occ
