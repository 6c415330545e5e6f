// The page of a sweep: rate against loss of every method, with the limit and the Pareto front.
#pragma once

#include <string>

#include "report/sweep.h"

namespace occ {

// Returns the page (report/html.h).
std::string sweep_page(const Sweep& sweep, const SweepOptions& options);

}  // namespace occ
