// Parses any text as a recipe. Parsing must throw occ::Error or give a recipe whose canonical text, when parsed, prints
// the same text again.
#include <cstdlib>

#include "base/params.h"
#include "occ/error.h"
#include "recipe/bound.h"
#include "recipe/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const occ::Recipe recipe = occ::Recipe::parse({reinterpret_cast<const char*>(data), size});
    const std::string text = recipe.print();
    if (occ::Recipe::parse(text).print() != text) std::abort();
    occ::plane_names(recipe);
  } catch (const occ::Error&) {
  }
  return 0;
}
