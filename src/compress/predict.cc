// Predicts sizes before coding. The side information of stages with a fixed rate grows linearly with the rows, so fits
// to one and to two rows tell it for any number of rows; other stages can make a blank of the shape. Payloads of coders
// with a fixed length follow from the shape of the plane.
#include <algorithm>
#include <numeric>
#include <optional>

#include "base/parallel.h"
#include "compress/encode.h"
#include "container/blob.h"
#include "recipe/nodes.h"

namespace occ {
namespace {

using Sizes = std::vector<uint64_t>;
using TileBytes = uint64_t (*)(const Params&, const SymbolPlane&, size_t rows);

uint64_t payload_bytes(TileBytes tile_bytes, const Params& params, const SymbolPlane& plane) {
  const size_t tile = tile_rows(plane);
  Sizes sizes;
  uint64_t total = 0;
  for (size_t row = 0; plane.cols != 0 && row < plane.rows; row += tile) {
    sizes.push_back(tile_bytes(params, plane, std::min(tile, plane.rows - row)));
    total += sizes.back();
  }
  return total + varint_bytes(tile) +
         std::accumulate(sizes.begin(), sizes.end(), uint64_t{0},
                         [](uint64_t sum, uint64_t size) { return sum + varint_bytes(size); });
}

template <typename Saved>
uint64_t saved_bytes(const Saved& saved) {
  ByteWriter out;
  saved.save(out);
  return out.size();
}

// Fits a transform or a quantizer to values of both signs, so that zero points lie within the codes.
template <typename Fit>
auto fit_to_rows(size_t rows, size_t cols, const Fit& fit, const Params& params) {
  Matrix<float> values(rows, cols);
  for (size_t i = 0; i < values.size(); ++i) values.data()[i] = i % 2 == 0 ? 1.0f : -1.0f;
  return fit(params, values.view(), FitContext{});
}

// Returns the side information of `rows` rows, given that of one row and that of two rows.
uint64_t extrapolated(size_t rows, uint64_t one, uint64_t two) {
  return rows == 0 ? one - (two - one) : one + (two - one) * (rows - 1);
}

std::optional<Sizes> recipe_sizes(const Recipe& recipe, Shape shape);

// Returns the stored sizes of the planes of a quantizer and its coders.
std::optional<Sizes> leaf_sizes(const Chain& chain, size_t at, Shape shape) {
  const QuantizerEntry& quantizer = *find_quantizer(chain.stages[at].name);
  const Params& params = chain.stages[at].params;
  Sizes sizes;
  std::vector<SymbolPlane> planes;
  if (quantizer.blank != nullptr) {
    const auto blank = quantizer.blank(params, shape);
    sizes.push_back(saved_bytes(*blank));
    planes = blank->planes();
  } else {
    const auto one = fit_to_rows(1, shape.cols, quantizer_fit(quantizer), params);
    const auto two = fit_to_rows(2, shape.cols, quantizer_fit(quantizer), params);
    sizes.push_back(extrapolated(shape.rows, saved_bytes(*one), saved_bytes(*two)));
    planes = two->planes();
    for (SymbolPlane& plane : planes) plane.rows = plane.rows / 2 * shape.rows;
  }
  for (size_t i = 0; i < planes.size(); ++i) {
    const Stage& s = chain.branches.empty() ? chain.stages[at + 1] : chain.branches[i].recipe.terms[0].stages[0];
    const CoderEntry& coder = *find_coder(s.name);
    if (coder.fixed_bytes != nullptr) {
      sizes.push_back(saved_bytes(*coder.fit(s.params, planes[i], {}, {})));
      sizes.push_back(payload_bytes(coder.fixed_bytes, s.params, planes[i]));
    } else if (quantizer.blank != nullptr && coder.most_bytes != nullptr) {
      // A fit to few rows would have other codebooks than the whole tensor, so the most bytes that the coder can take
      // are used.
      sizes.push_back(coder.most_table_bytes);
      sizes.push_back(payload_bytes(coder.most_bytes, s.params, planes[i]));
    } else {
      return std::nullopt;
    }
  }
  return sizes;
}

// Returns the stored sizes of the planes of transforms and of the chain or the branches that follow them.
std::optional<Sizes> chain_sizes(const Chain& chain, Shape shape) {
  const size_t at = num_transforms(chain);
  const bool splits = at == chain.stages.size();
  if (splits && find_transform(chain.stages[at - 1].name)->blank == nullptr) return std::nullopt;
  Sizes sizes;
  std::vector<Sizes> below;
  for (size_t i = 0; i < at; ++i) {
    const TransformEntry& entry = *find_transform(chain.stages[i].name);
    const Params& params = chain.stages[i].params;
    if (entry.blank == nullptr) {
      const auto bytes = [&](size_t rows) {
        return saved_bytes(*fit_to_rows(rows, shape.cols, transform_fit(entry), params));
      };
      sizes.push_back(extrapolated(shape.rows, bytes(1), bytes(2)));
      continue;
    }
    const auto blank = entry.blank(params, shape);
    sizes.push_back(saved_bytes(*blank));
    for (size_t p = 0; p < entry.planes.size(); ++p) {
      const Rect plane = blank->plane_rect(p, {0, 0, shape.rows, shape.cols});
      const auto branch = recipe_sizes(chain.branches[p].recipe, plane.shape());
      if (!branch) return std::nullopt;
      below.push_back(*branch);
    }
  }
  if (!splits) {
    const auto leaf = leaf_sizes(chain, at, shape);
    if (!leaf) return std::nullopt;
    below.push_back(*leaf);
  }
  for (const Sizes& more : below) sizes.insert(sizes.end(), more.begin(), more.end());
  return sizes;
}

std::optional<Sizes> recipe_sizes(const Recipe& recipe, Shape shape) {
  Sizes sizes;
  for (const Chain& term : recipe.terms) {
    const auto one = chain_sizes(term, shape);
    if (!one) return std::nullopt;
    sizes.insert(sizes.end(), one->begin(), one->end());
  }
  return sizes;
}

}  // namespace

uint64_t predict_blob_bytes(const Recipe& recipe, Shape shape) {
  const auto sizes = recipe_sizes(recipe, shape);
  return sizes ? blob_bytes(*sizes) : 0;
}

}  // namespace occ
