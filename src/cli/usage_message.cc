#include "cli/usage_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "base/closest.h"

namespace occ {
namespace {

using Words = std::map<std::string, std::string, std::less<>>;

// Names of commands and options in other programs, with the name of the same thing in occ.
const Words kOtherCommands = {
    {"chat", "generate --chat"}, {"run", "generate"},       {"infer", "generate"},        {"complete", "generate"},
    {"quantize", "compress"},    {"quantise", "compress"},  {"encode", "compress"},       {"pack", "compress"},
    {"convert", "decompress"},   {"decode", "decompress"},  {"dequantize", "decompress"}, {"export", "decompress"},
    {"unpack", "decompress"},    {"restore", "decompress"}, {"eval", "evaluate"},         {"perplexity", "evaluate"},
    {"test", "evaluate"},        {"info", "inspect"},       {"show", "inspect"},          {"list", "inspect"},
    {"ls", "inspect"},           {"diff", "compare"},       {"cmp", "compare"},           {"check", "verify"},
    {"help", "--help"},          {"version", "--version"}};
const Words kOtherOptions = {{"--bpw", "--bits"},
                             {"-b", "--bits"},
                             {"-m", "--method"},
                             {"-p", "--prompt"},
                             {"-t", "--threads"},
                             {"--out", "--output"},
                             {"--max-new-tokens", "--max-tokens"},
                             {"--n-predict", "--max-tokens"},
                             {"--overwrite", "--force"},
                             {"--quantize", "--method"},
                             {"--dataset", "--calibrate"},
                             {"--imatrix", "--calibrate"}};

std::vector<std::string> options_of(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::Option* o : command.get_options()) {
    for (const std::string& name : o->get_lnames()) out.push_back("--" + name);
    for (const std::string& name : o->get_snames()) out.push_back("-" + name);
  }
  return out;
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string unknown_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* c : app.get_subcommands({})) names.push_back(c->get_name());
  std::optional<std::string> meant;
  if (const auto other = kOtherCommands.find(word); other != kOtherCommands.end()) {
    meant = other->second;
  } else {
    meant = closest(word, names);
  }
  return fmt::format("there is no command '{}'{}", word,
                     meant ? fmt::format(", did you mean 'occ {}'?", *meant)
                           : fmt::format(", expected one of: {}", fmt::join(names, ", ")));
}

std::string unknown_option(const CLI::App& app, const CLI::App& command, const std::string& argument) {
  const std::string word = argument.substr(0, argument.find('='));
  std::vector<std::string> here = options_of(command);
  if (&command != &app) {
    for (std::string& name : options_of(app)) here.push_back(std::move(name));
  }
  std::string hint;
  const auto other = kOtherOptions.find(word);
  if (other != kOtherOptions.end() && contains(here, other->second)) {
    hint = fmt::format(", did you mean {}?", other->second);
  } else if (const auto meant = closest(word, here); meant && word.starts_with("--")) {
    hint = fmt::format(", did you mean {}?", *meant);
  } else {
    std::vector<std::string> elsewhere;
    for (const CLI::App* c : app.get_subcommands({})) {
      if (c != &command && contains(options_of(*c), word)) elsewhere.push_back(c->get_name());
    }
    if (!elsewhere.empty()) hint = fmt::format(", it belongs to {}", fmt::join(elsewhere, ", "));
  }
  return fmt::format("{} has no option {}{}", &command == &app ? "occ" : "occ " + command.get_name(), word, hint);
}

}  // namespace

const CLI::App* chosen_command(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? &app : chosen.front();
}

std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = *chosen_command(app);
  const std::vector<std::string> left = app.remaining(true);
  const auto option = std::find_if(left.begin(), left.end(), [](const std::string& s) { return s.starts_with('-'); });
  if (&command == &app && !left.empty() && left.front()[0] != '-') return unknown_command(app, left.front());
  if (option != left.end()) return unknown_option(app, command, *option);
  // A missing argument is reported first, because an unexpected argument is often only its consequence.
  if (!left.empty() && dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) {
    return fmt::format("occ {}: unexpected argument '{}'", command.get_name(), left.front());
  }
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  return &command == &app ? what : fmt::format("occ {}: {}", command.get_name(), what);
}

}  // namespace occ
