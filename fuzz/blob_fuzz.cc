// Decodes a corrupt blob. Byte 0 of the input chooses one of several recipes, bytes 1 and 2 the shape, and the rest is
// the blob. Loading and decoding must throw occ::Error or give values, and nothing else.
#include <array>

#include "container/blob.h"
#include "occ/error.h"
#include "recipe/bound.h"

namespace {

constexpr std::array kRecipes = {
    "uniform > bitpack",
    "uniform(bits=3, group=5, zero=asymmetric) > rans",
    "lloyd(bits=3) > rans(tables=2)",
    "signs > hadamard > uniform(per=tensor) > rans",
    "rowscale > dct(block=8) > uniform(per=column) > bitpack",
    "hadamard(axis=out) > uniform > bitpack",
    "uniform(bits=2) > bitpack + lloyd > rans",
    "split(rows=2) > { head: uniform(bits=10) > rans ; tail: dst > uniform > bitpack }",
    "lowrank(rank=3) > { left: uniform > rans ; right: uniform > bitpack } + uniform(bits=3) > rans",
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const occ::Shape shape{data[1] % 40u, data[2] % 40u};
  try {
    const occ::Recipe recipe = occ::Recipe::parse(kRecipes[data[0] % kRecipes.size()]);
    occ::PlaneReader planes(occ::unpack_blob({data + 3, size - 3}, "fuzz"), "fuzz");
    const auto bound = occ::load_recipe(recipe, shape, planes);
    planes.expect_done();
    occ::Matrix<float> out(shape.rows, shape.cols);
    bound->dequantize({0, 0, shape.rows, shape.cols}, out.view());
  } catch (const occ::Error&) {
  }
  return 0;
}
