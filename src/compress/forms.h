// The form in which a tensor is coded whose method has several of them (MethodEntry::forms).
#pragma once

#include <string>

#include "compress/plan.h"
#include "compress/size_model.h"

namespace occ {

// Codes the whole tensor (`all`) in each of t->forms at t->budget bits per weight and makes the one of the least error its method.
// Where second moments of the inputs are known, that is the error of the outputs. A form that takes more bytes than the
// budget and than the first form does not count, so that the error is never above that of the first form.
// t->coordinates.why says which was taken and what the others would have had. `what` names the tensor in errors.
void choose_form(const TensorSample& all, const std::string& what, PlannedTensor* t);

}  // namespace occ
