#include "compress/forms.h"

#include <algorithm>

#include "compress/encode.h"
#include "container/blob.h"

namespace occ {

void choose_form(const TensorSample& all, const std::string& what, PlannedTensor* t) {
  const MatrixSource source(all.rows.view());
  double most_bytes = t->budget * static_cast<double>(t->shape.size()) / 8, first = 0, least = 0;
  std::string chosen, others;
  for (const std::string_view form : t->forms) {
    const Method method = Method::parse(form);
    Recipe recipe = method.entry->recipe_of_budget(method.params, t->budget);
    recipe.set_seed(t->seed);
    const EncodedMatrix coded = encode_matrix(recipe, source, all.context, what);
    const double error = coded.weighted_error.value_or(coded.distortion.nmse());
    const auto bytes = static_cast<double>(coded.blob.size());
    if (chosen.empty()) {
      chosen = form, first = least = error;
      most_bytes = std::max(most_bytes, bytes);
      continue;
    }
    const bool fits = bytes <= most_bytes;
    others += fmt::format("{}{} {}", others.empty() ? "" : ", ", form,
                          fits ? fmt::format("{:.3f}", first > 0 ? error / first : 1) : "too large");
    if (fits && error < least) chosen = form, least = error;
  }
  t->method = Method::parse(chosen);
  t->coordinates.why = fmt::format("{} (error against {}: {})", chosen, t->forms.front(), others);
}

}  // namespace occ
