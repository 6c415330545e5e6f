// Makes archives of vectors that are meant to be searched.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "container/archive_file.h"
#include "io/elements.h"
#include "occ/compress.h"
#include "occ/search.h"
#include "recipe/method.h"

namespace occ {
namespace {

constexpr int64_t kCentroids = 256;

// Returns the recipe of a product quantizer whose codes take `bits` per value, with codebooks on top. Nothing for other
// methods, and where the text gives the number of subspaces.
std::string product_recipe(const std::string& text, double bits, size_t dimension) {
  const Method method = Method::parse(text);
  const Params& p = method.params;
  if (!p.has("m") || !p.has("k") || method.entry->recipe_of_budget == nullptr || !method.entry->forms.empty())
    return "";
  Params params = p;
  if (!p.given("k")) params.set("k", fmt::format("{}", kCentroids));
  if (!p.given("m")) {
    const double width = std::ceil(std::log2(static_cast<double>(std::max<int64_t>(2, params.integer("k")))));
    const auto all = static_cast<double>(dimension);
    params.set("m", fmt::format("{}", std::clamp(std::floor(bits * all / width), 1.0, all)));
  }
  if (p.has("block") && !p.given("block")) params.set("block", fmt::format("{}", std::min<size_t>(dimension, 4096)));
  return method.entry->recipe_of_budget(params, bits).print();
}

}  // namespace

CompressReport index_vectors(const std::filesystem::path& input, const std::filesystem::path& output,
                             CompressOptions options, std::optional<double> bytes) {
  const std::unique_ptr<TensorFile> file = open_any(input);
  if (file->tensors().size() != 1 || file->tensors()[0].shape.size() != 2 || file->tensors()[0].elements() == 0) {
    const bool one = file->tensors().size() == 1;
    throw_input(
        "{}: expected one matrix of vectors [vectors, dimension] that is not empty, found {}", file->path(),
        one ? "shape " + shape_text(file->tensors()[0].shape) : fmt::format("{} tensors", file->tensors().size()));
  }
  const size_t dimension = file->tensors()[0].shape[1];
  if (!options.codebooks.empty()) {
    const ArchiveFile fitted(options.codebooks);
    const auto& tensors = fitted.tensors();
    if (tensors.empty() || tensors[0].shape.size() != 2 || tensors[0].shape[1] != dimension) {
      throw_input("{}: expected codes of vectors of dimension {} as in {}, found shape {}", fitted.path(), dimension,
                  file->path(), tensors.empty() ? "none" : shape_text(tensors[0].shape));
    }
    options.recipe = fitted.record(0).recipe;
  }
  const bool asked = options.bits || options.size || options.ratio || options.nmse || !options.recipe.empty();
  if (bytes && (asked || !(*bytes > 0))) {
    throw_usage("bytes: expected a positive number per vector in place of another size or a recipe, found {}", *bytes);
  }
  if (bytes) {
    options.bits = 8 * *bytes / static_cast<double>(dimension);
  } else if (!asked) {
    options.bits = kIndexBits;
  }
  if (options.bits && !(*options.bits > 0)) throw_usage("bits: expected a positive number, found {}", *options.bits);
  if (options.recipe.empty() && options.bits) {
    options.recipe = product_recipe(options.method, *options.bits, dimension);
    if (!options.recipe.empty()) options.bits.reset();
  }
  // The tensor is coded whatever its type and size are.
  options.tensors.emplace_back("*", options.recipe.empty() ? options.method : options.recipe);
  return compress_file(input, output, options);
}

}  // namespace occ
