// The stage `lowrank`: the best approximation of W [rows, cols] of a given rank, as the product of two thin planes,
//
//   x = left right,   left [rows, r], right [r, cols],   r = min(rank, rows, cols)
//
// It is exact only for r = min(rows, cols), so it is used as the first term of a sum whose next term codes the
// residual. There is no side information. Each plane is coded by a recipe of its own; together they have 1 / rows + 1 /
// cols numbers per weight and component. Decoding takes r multiply-adds per element, in a fixed order of sums
// (simd/product.h). A product of the matrix with a vector takes r (rows + cols) multiply-adds instead of rows cols.
//
// Source: Eckart & Young 1936. lowrank_fit.cc computes the planes.
#include "transforms/lowrank.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "simd/product.h"
#include "transforms/axis.h"

namespace occ {
namespace {

constexpr std::array<ParamSpec, 1> kParams = {
    int_param("rank", "16", 0, 1 << 24, "components, at most the smaller dimension of the matrix")};
constexpr std::array<std::string_view, 2> kPlanes = {"left", "right"};

}  // namespace

std::span<const ParamSpec> lowrank_params() { return kParams; }

LowRank::LowRank(const Params& params, Shape shape)
    : shape_(shape), rank_(std::min({static_cast<size_t>(params.integer("rank")), shape.rows, shape.cols})) {}

Rect LowRank::plane_rect(size_t plane, const Rect& at) const {
  return plane == 0 ? Rect{at.row, 0, at.rows, rank_} : Rect{0, at.col, rank_, at.cols};
}

// Must not be called, because the fit has already computed the planes.
void LowRank::forward(const Rect&, MatrixView<const float>, std::span<const MatrixView<float>>) const {
  OCC_CHECK(false);
}

void LowRank::inverse(const Rect&, std::span<const MatrixView<const float>> planes, MatrixView<float> x) const {
  if (x.size() == 0) return;
  ordered_product(planes[0], PackedMatrix<float>(planes[1]), x);
}

TransformEntry lowrank_entry() {
  return {"lowrank",
          "product of two thin matrices, for the first term of a sum",
          kParams,
          kPlanes,
          nullptr,
          [](const Params& params, Shape shape, ByteReader&) -> std::unique_ptr<Transform> {
            return std::make_unique<LowRank>(params, shape);
          }};
}

}  // namespace occ
