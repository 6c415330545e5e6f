// How messages name options. The library names them like the fields of its option structures ("resume"); a command line
// asks, once, for what its users type ("--resume").
#pragma once

#include <string>
#include <string_view>

namespace occ {

// Call it before anything else: it is not thread-safe.
void set_option_prefix(std::string_view prefix);
// The name with that prefix; behind one, underscores are dashes.
std::string option_name(std::string_view field);

}  // namespace occ
