// The entries of the registry, one per file.
#pragma once

#include "entropy/coder.h"

namespace occ {

CoderEntry bitpack_coder();
CoderEntry rans_coder();

}  // namespace occ
