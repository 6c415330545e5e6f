// The error message for a command line that cannot be parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace occ {

// Returns the subcommand that the command line names, or `app` itself if it names none.
const CLI::App* chosen_command(const CLI::App& app);

// Returns one line that says what is wrong. For a command or an option that does not exist, the line suggests one that
// may have been meant.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error);

}  // namespace occ
