// Sizes before coding. Side information of today's fixed-rate stages grows linearly with the rows, so two tiny fits
// (one and two rows) tell it for any height, or a blank of the shape does; payloads of fixed-length coders follow from
// the plane's shape.
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

// Of one entropy coder: of a table of 256 tokens; more tables are taken only where they pay for themselves.
constexpr uint64_t kMostTables = 512;

uint64_t payload_bytes(const CoderEntry& coder, const Params& params, const SymbolPlane& plane) {
  const size_t tile = tile_rows(plane);
  Sizes sizes;
  uint64_t total = 0;
  for (size_t row = 0; plane.cols != 0 && row < plane.rows; row += tile) {
    sizes.push_back(coder.fixed_bytes(params, plane, std::min(tile, plane.rows - row)));
    total += sizes.back();
  }
  return total + varint_bytes(tile) +
         std::accumulate(sizes.begin(), sizes.end(), uint64_t{0},
                         [](uint64_t sum, uint64_t size) { return sum + varint_bytes(size); });
}

// Stored plane sizes of a chain of plain transforms, a quantizer and fixed-length coders.
std::optional<Sizes> chain_sizes(const Chain& chain, Shape shape) {
  const size_t at = num_transforms(chain);
  if (at == chain.stages.size()) return std::nullopt;
  const QuantizerEntry& quantizer = *find_quantizer(chain.stages[at].name);
  Sizes probe[2];  // side information of all stages at one and two rows
  std::vector<SymbolPlane> planes;
  for (size_t rows = 1; rows <= 2; ++rows) {
    Matrix<float> probe_values(rows, shape.cols);  // of both signs: zero points within the codes
    for (size_t i = 0; i < probe_values.size(); ++i) probe_values.data()[i] = i % 2 == 0 ? 1.0f : -1.0f;
    for (size_t i = 0; i <= at; ++i) {
      const Stage& s = chain.stages[i];
      ByteWriter side;
      if (i < at) {
        transform_fit (*find_transform(s.name))(s.params, probe_values.view(), {})->save(side);
      } else {
        const auto bound = quantizer_fit(quantizer)(s.params, probe_values.view(), {});
        bound->save(side);
        planes = bound->planes();
      }
      probe[rows - 1].push_back(side.size());
    }
  }
  Sizes sizes;
  for (size_t i = 0; i <= at; ++i) {
    const uint64_t step = probe[1][i] - probe[0][i];
    sizes.push_back(shape.rows == 0 ? probe[0][i] - step : probe[0][i] + step * (shape.rows - 1));
  }
  for (size_t i = 0; i < at; ++i) {
    const TransformEntry& entry = *find_transform(chain.stages[i].name);
    if (entry.blank == nullptr) continue;
    ByteWriter side;
    entry.blank(chain.stages[i].params, shape)->save(side);
    sizes[i] = side.size();
  }
  if (quantizer.blank != nullptr) {
    const auto bound = quantizer.blank(chain.stages[at].params, shape);
    ByteWriter side;
    bound->save(side);
    sizes.back() = side.size();
    planes = bound->planes();
  }
  for (size_t i = 0; i < planes.size(); ++i) {
    const Stage& s = chain.branches.empty() ? chain.stages[at + 1] : chain.branches[i].recipe.terms[0].stages[0];
    const CoderEntry& coder = *find_coder(s.name);
    if (coder.fixed_bytes == nullptr) {
      if (quantizer.blank == nullptr) return std::nullopt;
      // A sample would have the codebooks of the whole: instead the most that an entropy coder takes, packed tiles.
      const CoderEntry& packed = *find_coder("bitpack");
      sizes.push_back(kMostTables);
      sizes.push_back(payload_bytes(packed, Params(packed.params), planes[i]) +
                      ceil_div(planes[i].rows, tile_rows(planes[i])));
      continue;
    }
    if (quantizer.blank == nullptr) planes[i].rows = planes[i].rows / 2 * shape.rows;
    ByteWriter tables;
    coder.fit(s.params, planes[i], {}, {})->save(tables);
    sizes.push_back(tables.size());
    sizes.push_back(payload_bytes(coder, s.params, planes[i]));
  }
  return sizes;
}

}  // namespace

uint64_t predict_blob_bytes(const Recipe& recipe, Shape shape) {
  if (recipe.terms.size() != 1) {
    Sizes sizes;
    for (const Chain& term : recipe.terms) {
      const auto one = chain_sizes(term, shape);
      if (!one) return 0;
      sizes.insert(sizes.end(), one->begin(), one->end());
    }
    return blob_bytes(sizes);
  }
  const Chain& chain = recipe.terms[0];
  if (chain.stages[0].name != "split") {
    const auto sizes = chain_sizes(chain, shape);
    return sizes ? blob_bytes(*sizes) : 0;
  }
  const size_t head = static_cast<size_t>(chain.stages[0].params.integer("rows"));
  if (chain.stages.size() != 1 || chain.branches[0].recipe.terms.size() != 1 || head > shape.rows) return 0;
  const auto a = chain_sizes(chain.branches[0].recipe.terms[0], {head, shape.cols});
  const auto b = chain_sizes(chain.branches[1].recipe.terms[0], {shape.rows - head, shape.cols});
  if (!a || !b) return 0;
  Sizes sizes = {0};  // split has no side information
  sizes.insert(sizes.end(), a->begin(), a->end());
  sizes.insert(sizes.end(), b->begin(), b->end());
  return blob_bytes(sizes);
}

}  // namespace occ
