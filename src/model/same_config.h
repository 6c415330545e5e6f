// Whether a model that is converted to another format computes the same there.
#pragma once

#include <string>

#include "model/config.h"

namespace occ {

// Input error that names `file`, what differs and `where` (a format) unless `to`, which was read from what was written for
// `from`, says the same of everything that the two formats write in their own ways.
void check_same(const TensorFile& file, const ModelConfig& from, const ModelConfig& to, const std::string& where);

}  // namespace occ
