// The names of options in messages. By default they are the names of the fields of the option structures ("resume").
// The command-line program sets a prefix once, so that messages show what its users type ("--resume").
#pragma once

#include <string>
#include <string_view>

namespace occ {

// Must be called before any other function of the library, because it is not thread-safe.
void set_option_prefix(std::string_view prefix);
// The name of a field with the prefix. If there is a prefix, underscores become dashes.
std::string option_name(std::string_view field);

}  // namespace occ
