// What is told of a command line that cannot be parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace occ {

// The command that was chosen, or `app` itself.
const CLI::App* chosen_command(const CLI::App& app);

// One line: what is wrong and, for a command or an option that does not exist, what may have been meant.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

}  // namespace occ
